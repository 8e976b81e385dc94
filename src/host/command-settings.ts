import { join } from "node:path";
import type { ExtensionCommandContext } from "@mariozechner/pi-coding-agent";
import { displayPath } from "../store/layout.ts";
import { messageOf, UserError } from "../system/errors.ts";
import { isObject } from "../system/json.ts";
import { columns, pad } from "../views/text-width.ts";
import { refuseLink } from "./command-init.ts";
import type { Command } from "./commands.ts";
import { DEFAULT_CONFIG, ENV } from "./config.ts";
import { applyConfigFile, type ConfigFile, type ConfigProblem, shownValue } from "./config-file.ts";
import { dialogLimit } from "./output.ts";
import { runConfigOf } from "./run-config.ts";
import type { Session } from "./session.ts";
import {
  ENVIRONMENT,
  environmentContent,
  problemsOf,
  readValue,
  SETTINGS,
  type Setting,
  valueAt,
  withValue,
} from "./settings.ts";

const USAGE = "/team-settings [setting] [value | --default] [--project]";
const FLAG = /(^|\s)--(default|project)(?=\s|$)/g;

/** A configuration file as it is now; last, as if it were one, the environment. */
interface Level {
  file: ConfigFile;
  content: Record<string, unknown>;
}

/**
 * `/team-settings [setting] [value | --default] [--project]`: shows what is in force and where it comes from, or writes
 * one value into the user's `crew.json` or the project's `.crew/config.json`. Where there are dialogs it asks.
 */
export const settingsCommand: Command = async ({ session, ctx, args }) => {
  const flags = new Set([...args.matchAll(FLAG)].map(([, , flag]) => flag));
  const words = args.replace(FLAG, " ").trim();
  const [name = "", ...rest] = words.split(/\s+/);
  const levels = await readLevels(session);
  if (name === "" && !ctx.hasUI) return table(SETTINGS, levels, session);
  const setting = name === "" ? await chooseSetting(ctx, levels) : settingOf(name, levels, session);
  if (setting === undefined) return table(SETTINGS, levels, session);
  if (typeof setting === "string") return setting;
  const given = flags.has("default") ? undefined : rest.join(" ");
  if (given === "" && (name !== "" || !ctx.hasUI)) return about(setting, levels, session);
  const value = given === "" ? await askValue(ctx, setting, levels) : given;
  if (given === "" && value === undefined) return null;
  return await write(
    session,
    setting,
    value === undefined ? undefined : readValue(value),
    flags.has("project"),
    levels,
  );
};

async function readLevels(session: Session): Promise<Level[]> {
  const files: ConfigFile[] = [
    { path: join(session.agentDir, "crew.json"), origin: "user" },
    { path: join(session.cwd, ".crew", "config.json"), origin: "project" },
  ];
  const read = files.map(async (file) => ({ file, content: await readContent(session, file.path) }));
  return [...(await Promise.all(read)), { file: ENVIRONMENT, content: environmentContent(ENV) }];
}

async function readContent(session: Session, path: string): Promise<Record<string, unknown>> {
  try {
    const text = await session.world.files.readText(path);
    const value: unknown = text === null ? {} : JSON.parse(text);
    if (isObject(value)) return value;
  } catch (error) {
    throw new UserError("config", `${path} can't be read: ${messageOf(error)}. Mend or remove it first.`, {
      cause: error,
    });
  }
  throw new UserError("config", `${path} must hold a JSON object. Mend or remove it first.`);
}

/** The setting itself, or what is below a section. */
function settingOf(name: string, levels: readonly Level[], session: Session): Setting | string {
  const exact = SETTINGS.find(({ path }) => path === name);
  if (exact) return exact;
  const below = SETTINGS.filter(({ path }) => path.startsWith(`${name}.`));
  if (below.length > 0) return table(below, levels, session);
  const sections = [...new Set(SETTINGS.map(sectionOf))].join(", ");
  const shown = JSON.stringify(name.slice(0, 80));
  throw new UserError("unknown-setting", `There is no setting ${shown}. Sections: ${sections}. ${USAGE}`);
}

/** Its section first: a list must fit a small screen. */
async function chooseSetting(ctx: ExtensionCommandContext, levels: readonly Level[]): Promise<Setting | undefined> {
  const sections = [...new Set(SETTINGS.map(sectionOf))];
  const section = await ctx.ui.select("Settings of pi-foreman", sections, dialogLimit(ctx));
  const settings = SETTINGS.filter((setting) => sectionOf(setting) === section);
  if (settings.length <= 1) return settings[0];
  const lines = rows(settings, levels);
  const chosen = await ctx.ui.select(`Settings of pi-foreman: ${section}`, lines, dialogLimit(ctx));
  return settings[lines.indexOf(chosen ?? "")];
}

/** The value itself where it is in none. */
function sectionOf({ path }: Setting): string {
  return path.split(".", 1)[0] as string;
}

async function askValue(
  ctx: ExtensionCommandContext,
  setting: Setting,
  levels: readonly Level[],
): Promise<string | undefined> {
  const title = `${setting.path}: ${setting.description} Now: ${shownValue(setting.path, inForce(setting, levels).value)}`;
  if (setting.choices.length > 0) return await ctx.ui.select(title, [...setting.choices], dialogLimit(ctx));
  const text = await ctx.ui.input(title, JSON.stringify(setting.default), dialogLimit(ctx));
  return text?.trim() === "" ? undefined : text;
}

async function write(
  session: Session,
  setting: Setting,
  value: unknown,
  inProject: boolean,
  levels: readonly Level[],
): Promise<string> {
  const level = levels[inProject ? 1 : 0] as Level;
  const below = inProject ? configOf(levels.slice(0, 1)) : DEFAULT_CONFIG;
  const { content, problems } = withValue(level.content, setting.path, value, level.file, below);
  const [problem] = problems;
  if (problem) throw new UserError("bad-setting", `Nothing was written: ${problem.message}`);
  const { files } = session.world;
  // or this session would read it later, and hold to what is to hold from the next one on
  await session.config();
  if (inProject) await refuseLink(files, join(level.file.path, ".."));
  // a link to a file among one's dotfiles stays one; what a repository planted is not followed
  const target = inProject ? level.file.path : await files.realPath(level.file.path);
  await files.makeFolder(join(target, ".."));
  await files.writeAtomic(target, `${JSON.stringify(content, null, 2)}\n`);
  const now = [...levels];
  now[inProject ? 1 : 0] = { ...level, content };
  const { value: holds, from } = inForce(setting, now);
  const written =
    value === undefined
      ? `${setting.path} is no longer set in ${displayPath(target, session.cwd)}`
      : `${setting.path} = ${shownValue(setting.path, value)} is written to ${displayPath(target, session.cwd)}`;
  const held = `${shownValue(setting.path, holds)}, ${sourceOf(setting, holds, from, session)}, holds from the next session on (/reload)${isOfRuns(setting) ? ", for runs begun from then on" : ""}.`;
  return `${written}. ${held}`;
}

/** A run keeps what it was begun with. */
function isOfRuns({ path }: Setting): boolean {
  return valueAt(runConfigOf(DEFAULT_CONFIG), path) !== undefined;
}

function configOf(levels: readonly Level[], problems: ConfigProblem[] = []) {
  return levels.reduce((config, { file, content }) => applyConfigFile(config, content, file, problems), DEFAULT_CONFIG);
}

/** What the files and the environment say of these settings and does not hold. */
function ignored(settings: readonly Setting[], levels: readonly Level[]): string[] {
  const problems: ConfigProblem[] = [];
  configOf(levels, problems);
  return [...new Set(settings.flatMap(({ path }) => problemsOf(path, problems)))].map(({ message }) => message);
}

/** The value that holds, and the file it stands in; null for the default, and for what several of them say together. */
function inForce({ path }: Setting, levels: readonly Level[]): { value: unknown; from: ConfigFile | null } {
  const value = valueAt(configOf(levels), path);
  const from = levels.findLast(({ content }) => JSON.stringify(valueAt(content, path)) === JSON.stringify(value));
  return { value, from: from?.file ?? null };
}

function isDefault(setting: Setting, value: unknown): boolean {
  return JSON.stringify(value) === JSON.stringify(setting.default);
}

function sourceOf(setting: Setting, value: unknown, from: ConfigFile | null, session: Session): string {
  if (from) return `from ${displayPath(from.path, session.cwd)}`;
  return isDefault(setting, value) ? "the default" : "put together from several files";
}

function rows(settings: readonly Setting[], levels: readonly Level[]): string[] {
  const width = Math.max(...settings.map(({ path }) => columns(path)));
  return settings.map((setting) => {
    const { value, from } = inForce(setting, levels);
    const level = from === ENVIRONMENT ? "environment" : (from?.origin ?? "several files");
    const note = from === null && isDefault(setting, value) ? "" : `  (${level})`;
    return `${pad(setting.path, width)}  ${shownValue(setting.path, value)}${note}`;
  });
}

function table(settings: readonly Setting[], levels: readonly Level[], session: Session): string {
  const files = levels.map(({ file }) => displayPath(file.path, session.cwd)).join(", ");
  return [
    ...rows(settings, levels),
    "",
    ...ignored(settings, levels),
    `Read from ${files}; the rest are defaults. ${USAGE}`,
  ].join("\n");
}

function about(setting: Setting, levels: readonly Level[], session: Session): string {
  const { path, description, choices, variable } = setting;
  const { value, from } = inForce(setting, levels);
  const byDefault = from ? `; by default ${JSON.stringify(setting.default)}` : "";
  return [
    `${path} = ${shownValue(path, value)} (${sourceOf(setting, value, from, session)}${byDefault})`,
    `${description} Environment: ${variable}.`,
    ...(choices.length > 0 ? [`One of ${choices.join(", ")}.`] : []),
    ...ignored([setting], levels),
  ].join("\n");
}
