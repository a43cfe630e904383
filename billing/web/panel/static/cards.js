// The cards that show a failure, that something loads, and the credit grants.

import { UNLIMITED } from "./api.js";
import { button, el, scrollTable } from "./dom.js";
import { state } from "./state.js";

/** The failures that may be over at the next attempt; the others need another key or an operator. */
const RETRYABLE = ["database", "service", "offline", "broken", "unexpected", "rate_limited"];

/** Disabled for the time that is left, where the site named one: it is drawn again with the language. */
export function retryButton({ kind }, onclick) {
  const retry = button("retry", state.i18n.t.retry, onclick, {});
  if (kind === "rate_limited") {
    retry.disabled = true;
    setTimeout(() => (retry.disabled = false), state.retryAt - performance.now());
  }
  return retry;
}

export function failureCard(onRetry) {
  const { failure, i18n } = state;
  const { kind, details } = failure;
  const [title, text] = i18n.t.errors[kind];
  const retryable = RETRYABLE.includes(kind);
  return el(
    "section",
    { class: `card message ${retryable ? "away" : "refused"}`, "data-kind": kind },
    el("span", { class: "sign", "aria-hidden": "true" }, retryable ? "↻" : "!"),
    el("div", {}, el("h2", {}, title), el("p", {}, typeof text === "function" ? text(...details) : text)),
    retryable ? retryButton(failure, onRetry) : null,
  );
}

/** What takes the place of a card that is loaded; it appears after 300 ms. */
export const skeleton = () =>
  el("section", { class: "card skeleton" }, el("p", { role: "status" }, state.i18n.t.loading), el("div"), el("div"), el("div"));

/** A bar that is full to a `part` of 0 to 1, and what a screen reader says of it. */
export function bar(role, label, part, text) {
  const fill = el("div", { class: "fill", hidden: part === 0 });
  // Through the object model: the page's policy forbids style attributes.
  fill.style.width = `${part * 100}%`;
  const value = { "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(part * 100), "aria-valuetext": text };
  return el("div", { class: "bar", role, "aria-label": label, ...value }, fill);
}

/** `usedText` when the amount needs more digits than usual. */
export function meter(used, limit, label, usedText = state.i18n.amount(used)) {
  const { t, amount } = state.i18n;
  const part = limit > 0 ? Math.min(Math.max(used / limit, 0), 1) : 1;
  return bar("meter", label, part, t.usedOf(usedText, amount(limit)));
}

function subscriptionItem({ plan, grant_amount: granted, used_amount: used, resets_at: resets }) {
  const { t, amount, moment } = state.i18n;
  const name = plan || t.kinds.subscription;
  return el(
    "li",
    {},
    el("strong", {}, name),
    meter(used, granted, name),
    el("small", {}, resets * 1000 > Date.now() ? t.resets(moment(resets)) : ""),
    el("p", {}, t.usedOf(amount(used), amount(granted))),
  );
}

/** Hidden while there are no grants: loaded later than the balance, they take this one's place. */
export function grantsCard() {
  const { grants } = state;
  const { t, amount, moment } = state.i18n;
  if (!grants.length) return el("div", { id: "grants", hidden: true });
  const when = (seconds, none) => (seconds ? moment(seconds) : none);
  const rows = grants.map(({ id, grant_amount: granted, used_amount: used, effective_at: since, expires_at: until }) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, t.kinds[id.split("-")[0]] ?? id),
      el("td", {}, granted === UNLIMITED ? t.unlimited : amount(granted)),
      el("td", {}, amount(used)),
      el("td", {}, when(since, t.dash)),
      el("td", {}, when(until, t.never)),
    ),
  );
  const table = scrollTable(t.grants, [t.grant, t.amount, t.used, t.since, t.until], rows);
  const bars = grants.filter(({ source }) => source === "subscription").map(subscriptionItem);
  const list = bars.length ? el("ul", { class: "subscriptions" }, ...bars) : null;
  return el("section", { class: "card", id: "grants" }, el("h2", {}, t.grants), list, table);
}
