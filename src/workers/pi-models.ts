/** Which model an agent's wishes stand for, among those the user's Pi can use. */

export interface HostModel {
  readonly provider: string;
  readonly id: string;
}

export type ModelChoice<M extends HostModel> =
  | { kind: "host-default" }
  | { kind: "model"; model: M; thinking: string | null }
  /** `message` is the fact and what is there; what to do about it depends on who gave the name. */
  | { kind: "none"; message: string };

const thinkingLevels = new Set(["off", "minimal", "low", "medium", "high", "xhigh", "max"]);
const namesShownMax = 8;

/**
 * The first of `wanted` that is there: `provider/id`, a bare id, or a part of exactly one name; each may end in
 * `:thinking`. Ids may hold colons and slashes themselves, so the whole text is tried first.
 */
export function chooseModel<M extends HostModel>(wanted: readonly string[], available: readonly M[]): ModelChoice<M> {
  const wishes = wanted.map((wish) => wish.trim()).filter((wish) => wish !== "");
  if (wishes.length === 0) return { kind: "host-default" };
  for (const wish of wishes) {
    if (wish.toLowerCase() === "inherit") return { kind: "host-default" };
    const model = find(wish, available);
    if (model) return { kind: "model", model, thinking: null };
    const colon = wish.lastIndexOf(":");
    const thinking = wish.slice(colon + 1);
    if (colon < 0 || !thinkingLevels.has(thinking)) continue;
    const plain = find(wish.slice(0, colon), available);
    if (plain) return { kind: "model", model: plain, thinking };
  }
  return { kind: "none", message: refusal(wishes, available) };
}

function find<M extends HostModel>(wish: string, available: readonly M[]): M | null {
  const low = wish.toLowerCase();
  const exact = available.find((model) => nameOf(model).toLowerCase() === low);
  if (exact) return exact;
  const sameId = available.find((model) => model.id.toLowerCase() === low);
  if (sameId) return sameId;
  const parts = available.filter((model) => nameOf(model).toLowerCase().includes(low));
  return parts.length === 1 ? (parts[0] ?? null) : null;
}

function refusal(wishes: readonly string[], available: readonly HostModel[]): string {
  const asked = wishes.map((wish) => `"${wish}"`).join(", ");
  const near = available.filter((model) => wishes.some((wish) => nameOf(model).includes(wish.toLowerCase())));
  const shown = (near.length > 0 ? near : available).slice(0, namesShownMax).map(nameOf);
  const known = shown.length > 0 ? `Usable here: ${shown.join(", ")}.` : "No model is usable here: log in with /login.";
  const why = near.length > 1 ? "fits several models" : "is no model that can be used here";
  return `${asked} ${why}. ${known}`;
}

function nameOf(model: HostModel): string {
  return `${model.provider}/${model.id}`;
}
