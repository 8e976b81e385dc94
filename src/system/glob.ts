/**
 * Whether the whole text fits the pattern: `*` is any text (dots and slashes too), `?` one character, all else itself,
 * upper and lower case alike. No regular expression: a pattern from a user or a model can't make it slow (at worst
 * the product of both lengths).
 */
export function matchesGlob(pattern: string, text: string): boolean {
  const p = [...pattern.toLowerCase()];
  const t = [...text.toLowerCase()];
  let at = 0;
  let star = -1;
  let starText = 0;
  for (let i = 0; i < t.length; ) {
    if (p[at] === "*") {
      star = at++;
      starText = i;
    } else if (p[at] === "?" || p[at] === t[i]) {
      at++;
      i++;
    } else if (star >= 0) {
      // the last star takes one character more, and the rest of the pattern tries again
      at = star + 1;
      i = ++starText;
    } else {
      return false;
    }
  }
  while (p[at] === "*") at++;
  return at === p.length;
}
