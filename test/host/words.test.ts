import { describe, expect, it } from "vitest";
import { splitWords } from "../../src/host/words.ts";

const parsed = (text: string, names = ["model", "prompt"]) => {
  const { words, options } = splitWords(text, names);
  return [words, Object.fromEntries(options)];
};

describe("a command's words", () => {
  it("are split at blanks, quoted text being one", () => {
    expect(parsed("")).toEqual([[], {}]);
    expect(parsed("  a  'b c' “d e” don't")).toEqual([["a", "b c", "d e", "don't"], {}]);
    expect(parsed('x --prompt "say it\'s --done\nnow" --model=p/m y')).toEqual([
      ["x", "y"],
      { prompt: "say it's --done\nnow", model: "p/m" },
    ]);
  });

  it("have quotes within double quotes behind a backslash, and all other backslashes as they are", () => {
    expect(parsed('x --prompt "say \\"done\\" and \\\\" y')).toEqual([["x", "y"], { prompt: 'say "done" and \\' }]);
    expect(parsed('"C:\\new folder\\temp" \'a\\"b\\\' C:\\x “say \\"so\\"”')).toEqual([
      ["C:\\new folder\\temp", 'a\\"b\\', "C:\\x", 'say \\"so\\"'],
      {},
    ]);
    expect(parsed('"\\\\server\\share\\\\" "a\\\\\\"b"')).toEqual([["\\\\server\\share\\", 'a\\"b'], {}]);
    expect(() => parsed('x --prompt "never \\"closed\\"')).toThrow("A quote is not closed");
  });

  it("are refused with a sentence when they can't be meant", () => {
    expect(() => parsed("x --modle p/m")).toThrow("There is no option --modle here, only --model and --prompt.");
    expect(() => parsed("x --modle p/m", ["model", "prompt", "checkpoint", "yes"])).toThrow(
      "There is no option --modle here, only --model, --prompt, --checkpoint and --yes.",
    );
    expect(() => parsed("x --any", [])).toThrow("There is no option --any here.");
    expect(() => parsed("x --prompt")).toThrow("--prompt needs a value");
    expect(() => parsed("x --prompt --model p")).toThrow("--prompt needs a value");
    expect(() => parsed('x --prompt "never closed')).toThrow("A quote is not closed");
  });
});
