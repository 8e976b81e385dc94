import { UserError } from "../system/errors.ts";
import { safeText } from "../system/safe-text.ts";
import { counted } from "../views/units.ts";
import { Checkpoints } from "../workers/checkpoint.ts";
import { readable } from "../workers/git.ts";
import type { CheckpointPlace } from "./checkpoint-place.ts";
import { dialogLimit } from "./output.ts";
import type { Session } from "./session.ts";

const SHOWN_PATHS_MAX = 10;

/** What a restore would change. */
export interface RestorePreview {
  paths: readonly string[];
  text: string;
}

/** Looks without changing anything in the tree. Throws a UserError for a checkpoint that can't be restored. */
export async function previewRestore(session: Session, place: CheckpointPlace, seq: number): Promise<RestorePreview> {
  const checkpoints = new Checkpoints(session.world, place.attempt, () => undefined);
  try {
    await checkpoints.begin(place.git);
    const paths = (await checkpoints.differences(seq)).map(readable);
    return { paths, text: previewText(paths, await topOf(place), seq) };
  } finally {
    await checkpoints.close();
  }
}

/** Puts it back, and keeps what was there. Gives what the user is told. */
export async function restoreCheckpoint(session: Session, place: CheckpointPlace, seq: number): Promise<string> {
  const checkpoints = new Checkpoints(session.world, place.attempt, () => undefined);
  try {
    await checkpoints.begin(place.git);
    const { files, backup } = await checkpoints.restore(seq, "all");
    const kept = backup === null ? "" : ` What was there before is kept as checkpoint ${backup.seq} of the same task.`;
    return `Checkpoint ${seq} is restored in ${await topOf(place)}: ${counted(files, "file")} changed.${kept} Your index and branches are as they were.`;
  } finally {
    await checkpoints.close();
  }
}

/** False when the user declines. Throws a UserError with the preview where nobody can be asked. */
export async function agreeToRestore(session: Session, preview: RestorePreview, yes: boolean): Promise<boolean> {
  if (yes) return true;
  const { context } = session;
  if (!context?.hasUI)
    throw new UserError(
      "not-agreed",
      `${preview.text}\nNothing was changed: there is nobody to ask. --yes restores it.`,
    );
  return await session.dialogs.during(() =>
    context.ui.confirm("Restore this checkpoint?", preview.text, dialogLimit(context)),
  );
}

/** A checkpoint is of the whole work tree, also where the project is a folder within it. */
async function topOf({ git }: CheckpointPlace): Promise<string> {
  return readable(await git.line(["rev-parse", "--show-toplevel"]));
}

function previewText(paths: readonly string[], folder: string, seq: number): string {
  const shown = paths.slice(0, SHOWN_PATHS_MAX).map((path) => `  ${safeText(path, { multiline: false })}`);
  if (paths.length > shown.length) shown.push(`  and ${paths.length - shown.length} more`);
  const what = `Checkpoint ${seq} changes ${counted(paths.length, "file")} in ${folder}, to what they were then, whoever changed them since:`;
  return [what, ...shown, "What is there now is kept as a checkpoint of the task first."].join("\n");
}
