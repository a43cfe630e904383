// An account's tokens: what each used in the period, and has left. One of them narrows the days to its own.

import { button, byId, el, keepFocus } from "./dom.js";
import { loadDaily } from "./load.js";
import { state } from "./state.js";
import { rowOf } from "./sums.js";
import { rankedTable, title } from "./table.js";

/** With its id where it has no name, or another's. */
function nameOf({ id, name }) {
  const { t } = state.i18n;
  if (id === null) return name || t.unknownToken;
  const isOne = state.tokens.filter((token) => token.name === name).length === 1;
  return isOne && name ? name : [name, t.tokenNumber(id)].filter(Boolean).join(" · ");
}

/** Put the tokens that are known now on the screen. */
export function showTokens() {
  if (byId("tokens")) keepFocus(() => byId("tokens").replaceWith(tokensCard()));
}

/** Hidden for a key, which is told of no other token. */
export function tokensCard() {
  const { t, value, amount, moment } = state.i18n;
  if (!state.tokens) return el("div", { id: "tokens", hidden: true });
  const rows = state.tokens.map((token) => ({ ...token, ...rowOf(token), spent: token.used, key: `${token.id}/${token.name}`, title: nameOf(token) }));
  const left = ({ unlimited, remaining }) => (remaining === undefined ? t.dash : unlimited ? t.unlimited : amount(remaining));
  const { node } = rankedTable({
    id: "tokens-table",
    caption: t.byToken,
    rest: t.otherTokens,
    metric: state.metric,
    rows,
    columns: [
      { id: "title", label: t.token, cell: nameButton },
      { id: "remaining", label: t.remaining, text: left },
      { id: "cost", label: t.metrics.cost, text: (row) => value("cost", row) },
      { id: "tokens", label: t.metrics.tokens, text: (row) => value("tokens", row) },
      { id: "requests", label: t.metrics.requests, text: (row) => value("requests", row) },
      { id: "spent", label: t.usedInAll, text: ({ spent }) => (spent === undefined ? t.dash : amount(spent)) },
      { id: "last_used_at", label: t.lastUse, text: ({ last_used_at: last }) => (last ? moment(last) : last === 0 ? t.neverUsed : t.dash) },
    ],
  });
  return el("section", { class: "card", id: "tokens" }, el("h2", {}, t.byToken), el("p", { class: "help" }, t.narrowHelp), node);
}

function nameButton(token) {
  const { id } = token;
  // The row of all others has none, nor has a token that is not known.
  if (id == null) return title(token.title);
  const isChosen = state.token?.id === id;
  const onclick = () => narrow(isChosen ? null : { id, name: token.title });
  return button(`token-${id}`, title(token.title), onclick, { class: "link", "aria-pressed": `${isChosen}` });
}

function narrow(token) {
  state.token = token;
  showTokens();
  loadDaily();
}

/** Whose days are shown when they are not the whole account's. */
export function narrowed() {
  const { t } = state.i18n;
  if (!state.token) return null;
  const all = button("all-tokens", t.allTokens, () => narrow(null));
  return el("p", { class: "narrowed", role: "status" }, t.onlyToken(state.token.name), all);
}
