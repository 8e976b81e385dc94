import { basename, join } from "node:path";
import type { Catalog, Source } from "../runs/definitions.ts";
import { displayPath } from "../store/layout.ts";
import { codeOf, UserError } from "../system/errors.ts";
import type { Files } from "../system/world.ts";
import type { Command } from "./commands.ts";
import { dialogLimit } from "./output.ts";
import { splitWords } from "./words.ts";

const FOLDERS = ["teams", "workflows", "agents"];

/**
 * `/team-init [team]`: copies a team with its workflow and its agents into the project's `.crew/`, to be changed there.
 * Never writes over a file that is there.
 */
export const initCommand: Command = async ({ session, ctx, args }) => {
  const catalog = await session.catalog();
  const known = [...catalog.teams.keys()].sort();
  const { words } = splitWords(args, []);
  if (words.length > 1) throw new UserError("usage", "One team at a time: /team-init fast-fix.");
  const chosen =
    words[0] ??
    (ctx.hasUI ? await ctx.ui.select("Which team shall the project have?", known, dialogLimit(ctx)) : undefined);
  if (chosen === undefined) return `Name the team to copy into .crew/: /team-init <team>. Known: ${known.join(", ")}.`;
  const root = join(session.cwd, ".crew");
  for (const folder of [root, ...FOLDERS.map((name) => join(root, name))])
    await refuseLink(session.world.files, folder);
  const lines: string[] = [];
  for (const [folder, source] of sourcesOf(catalog, chosen)) {
    const target = join(root, folder, basename(source.file));
    if (source.origin === "project") lines.push(`there    ${displayPath(source.file, session.cwd)}`);
    else {
      const state = (await copied(session.world.files, source.file, target)) ? "written " : "there   ";
      lines.push(`${state} ${displayPath(target, session.cwd)}`);
    }
  }
  return [
    ...lines,
    "",
    `Change them as you like; they win over the package's by name. /team-doctor checks them, /team-run ${chosen} "<goal>" runs them.`,
  ].join("\n");
};

function sourcesOf(catalog: Catalog, name: string): [folder: string, source: Source][] {
  const team = catalog.teams.get(name);
  if (!team) {
    const known = [...catalog.teams.keys()].sort().join(", ");
    throw new UserError(
      "unknown-team",
      `There is no team called ${JSON.stringify(name.slice(0, 80))}. Known: ${known}.`,
    );
  }
  const workflow = catalog.workflows.get(team.defaultWorkflow);
  const agents = new Set(team.roles.map(({ agent }) => agent));
  return [
    ["teams", team.source],
    ...(workflow ? [["workflows", workflow.source] as [string, Source]] : []),
    ...[...agents].flatMap((agent): [string, Source][] => {
      const found = catalog.agents.get(agent);
      return found ? [["agents", found.source]] : [];
    }),
  ];
}

/** What a repository may have planted would make us write elsewhere. */
export async function refuseLink(files: Files, folder: string): Promise<void> {
  const facts = await files.facts(folder);
  if (facts !== null && facts.kind !== "directory")
    throw new UserError("planted", `${folder} is a ${facts.kind}, but must be a real folder. Nothing was written.`);
}

/** False when the file is there already. */
async function copied(files: Files, from: string, to: string): Promise<boolean> {
  const text = await files.readText(from);
  if (text === null) throw new UserError("gone", `${from} is gone; /reload reads the definitions anew.`);
  await files.makeFolder(join(to, ".."));
  try {
    await files.writeNew(to, text);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}
