import { appendFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { nodeFiles } from "../../src/system/node-files.ts";
import { type Letter, MailReader, putMail } from "../../src/workers/mail.ts";

const files = nodeFiles();

function letter(messageId: string, text = `text of ${messageId}`): Letter {
  return { messageId, from: "session-1", text };
}

/** An attempt's folder that is not there yet, as for an attempt that has not begun. */
function attempt() {
  const parent = mkdtempSync(join(tmpdir(), "foreman-mail-"));
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }));
  const folder = join(parent, "a0001");
  return { folder, path: join(folder, "mail.jsonl"), reader: new MailReader(files, folder) };
}

describe("an attempt's mail", () => {
  it("is given once, in order, as it comes", async () => {
    const { folder, reader } = attempt();
    expect(await reader.takeNew()).toEqual([]);
    await putMail(files, folder, [letter("1"), letter("2")]);
    expect(await reader.takeNew()).toEqual([letter("1"), letter("2")]);
    expect(await reader.takeNew()).toEqual([]);
    await putMail(files, folder, [letter("1"), letter("2"), letter("3")]);
    expect(await reader.takeNew()).toEqual([letter("3")]);
  });

  it("is not written when there is none", async () => {
    const { folder } = attempt();
    await putMail(files, folder, []);
    expect(await files.facts(folder)).toBeNull();
  });

  it("stands there once, whoever writes it again", async () => {
    const { folder, path } = attempt();
    await putMail(files, folder, [letter("1")]);
    await putMail(files, folder, [letter("1"), letter("2")]);
    expect(
      readFileSync(path, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line).messageId),
    ).toEqual(["1", "2"]);
  });

  it("is given once also where two owners wrote it", async () => {
    const { folder, path, reader } = attempt();
    await putMail(files, folder, [letter("1")]);
    appendFileSync(path, readFileSync(path));
    expect(await reader.takeNew()).toEqual([letter("1")]);
  });

  it("keeps what any text holds on its one line", async () => {
    const { folder, path, reader } = attempt();
    const texts = [
      'a\nb\r\n"c"\\',
      "\u2028\u2029\u0000\u001b[2J",
      '{"messageId":"9"}\n{"messageId":',
      "/quit",
      "😀",
      "",
    ];
    const letters = texts.map((text, at) => letter(`m${at}`, text));
    await putMail(files, folder, letters);
    expect(readFileSync(path, "utf8").split("\n")).toHaveLength(texts.length + 1);
    expect(await reader.takeNew()).toEqual(letters);
  });

  it("loses nothing by a line that was cut at any byte", async () => {
    const { folder, path } = attempt();
    await putMail(files, folder, [letter("1"), letter("2", "cut é here")]);
    const whole = readFileSync(path);
    const first = whole.indexOf(0x0a) + 1;
    for (let end = first; end < whole.length; end++) {
      writeFileSync(path, whole.subarray(0, end));
      const reader = new MailReader(files, folder);
      expect(await reader.takeNew()).toEqual([letter("1")]);
      await putMail(files, folder, [letter("1"), letter("2", "cut é here"), letter("3")]);
      expect(await reader.takeNew(), `cut at ${end}`).toEqual([letter("2", "cut é here"), letter("3")]);
    }
  });

  it("leaves out what is no letter", async () => {
    const { folder, path, reader } = attempt();
    await putMail(files, folder, [letter("1")]);
    const strange = ["", "null", "[]", "{}", "{", '{"messageId":1,"from":"a","text":"b"}', `"${"x".repeat(70_000)}"`];
    appendFileSync(path, `${strange.join("\n")}\n`);
    await putMail(files, folder, [letter("2")]);
    expect(await reader.takeNew()).toEqual([letter("1"), letter("2")]);
  });

  it("is neither read nor written through a link", async () => {
    const { folder, path, reader } = attempt();
    await files.makeFolder(folder);
    const elsewhere = join(folder, "elsewhere");
    writeFileSync(elsewhere, `${JSON.stringify(letter("1"))}\n`);
    symlinkSync(elsewhere, path);
    expect(await reader.takeNew()).toEqual([]);
    await expect(putMail(files, folder, [letter("2")])).rejects.toThrow();
    expect(readFileSync(elsewhere, "utf8")).not.toContain("text of 2");
  });
});
