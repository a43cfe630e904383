// The card with the balance: whose it is, what remains, what limits it, and until when.

import { UNLIMITED } from "./api.js";
import { meter, retryButton } from "./cards.js";
import { button, byId, el, keepFocus } from "./dom.js";
import { recentFigures } from "./recent.js";
import { state, unitData } from "./state.js";

const DAY = 86400;
const LOW = 0.05;

/** The key's state, as named in the texts, and a sign for those who cannot tell colours apart. */
export function status({ until, unlimited, remaining, limit }, now) {
  if (until && until <= now) return ["expired", "✕"];
  if (!unlimited && remaining <= 0) return ["exhausted", "∅"];
  if (!unlimited && remaining < LOW * limit) return ["low", "!"];
  if (until && until - now < 7 * DAY) return ["soon", "!"];
  return ["active", "✓"];
}

function expiry(until, now) {
  const { t, relative, moment } = state.i18n;
  if (!until) return [t.never, ""];
  const when = relative(until - now);
  return [until <= now ? t.ended(when) : t.expires(when), moment(until)];
}

/** The used amount, with as many digits as tell it from the limit while something remains. */
export function usedAmount({ used, limit, remaining }) {
  const { amount, decimals } = state.i18n;
  return amount(used, remaining > 0 && amount(used) === amount(limit) ? decimals(remaining) : 0);
}

/** Whose figures these are, by the names that people gave. */
export function whose() {
  const { t } = state.i18n;
  const { who, caller } = state;
  // Four characters of a short key would be too much of it.
  const tail = caller.key.length >= 16 ? `…${caller.key.slice(-4)}` : "";
  if (!who) return tail;
  if (who.user !== null) return t.accountNamed(who.user);
  const key = who.token ? t.keyNamed(who.token) : t.key_;
  return [tail ? `${key} (${tail})` : key, t.scopes[who.scope]].filter(Boolean).join(" · ");
}

/** `actions`: what to do to refresh, copy, and take another key. */
export function overviewCard(actions) {
  const { t, amount, share } = state.i18n;
  const { figures } = state;
  const { limit, used, remaining, until, unlimited } = figures;
  const now = Date.now() / 1000;
  const [name, sign] = status(figures, now);
  const [ends, date] = expiry(until, now);
  const unit = name === "expired" && remaining > 0 ? t.notUsable : unitData.unit && !unlimited ? t.units[unitData.unit] : null;
  const figure = unlimited ? t.unlimited : amount(remaining);
  const fact = (term, value, more = "") =>
    el("div", {}, el("dt", {}, term), el("dd", {}, value, more ? el("small", {}, more) : null));
  const card = el(
    "section",
    { class: "card overview", id: "overview", "data-state": name },
    el(
      "div",
      { class: "top" },
      el("span", { class: `chip ${name}` }, el("span", { "aria-hidden": "true" }, sign), ` ${t[name]}`),
      el("span", { class: "ending" }, whose()),
      el(
        "div",
        { class: "buttons" },
        button("refresh", t.refresh, actions.refresh),
        button("copy", t.copy, actions.copy),
        button("other", t.other, actions.other),
      ),
    ),
    el(
      "h2",
      { id: "remaining", tabindex: "-1" },
      el("span", { class: "name" }, t.remaining),
      el("span", { class: "figure" }, figure),
      unit ? el("span", { class: "unit" }, unit) : null,
    ),
    unlimited ? null : meter(used, limit, t.used, usedAmount(figures)),
    limitsNote(),
    el(
      "dl",
      { class: "facts" },
      fact(t.used, usedAmount(figures), unlimited || limit <= 0 ? "" : t.usedShare(share(used / limit))),
      fact(t.limit, unlimited ? t.unlimited : amount(limit)),
      fact(t.until, ends, date),
    ),
    recentFigures(),
    unitData.unit ? null : el("p", { class: "note" }, t.unitUnknown),
    readNote(actions.refresh),
  );
  card.style.setProperty("--characters", figure.length);
  return card;
}

/** When the figures were read, and why not since. */
function readNote(onRetry) {
  const { t, clock } = state.i18n;
  const { stale, readAt } = state;
  if (!stale) return el("p", { class: "help", id: "read" }, t.asOf(clock(readAt)));
  const text = t.stale(clock(readAt), t.errors[stale.kind][0]);
  return el("div", { class: "warning", id: "read", role: "alert" }, el("p", {}, text), retryButton(stale, onRetry));
}

/** What a key and its account have left, if they differ. */
export function limitsNote() {
  const { limits } = state;
  const { t, amount } = state.i18n;
  if (!limits) return el("p", { id: "limits", hidden: true });
  const left = (value) => (value === UNLIMITED ? t.noLimit : t.left(amount(value)));
  const say = Math.min(limits.key, limits.account) > 0 ? t.refusedAbove : t.refusedNow;
  return el("p", { id: "limits", class: "warning", role: "status" }, say(left(limits.key), left(limits.account)));
}

/** Draw the card again, with what is known now. */
export const showOverview = (actions) => byId("overview") && keepFocus(() => byId("overview").replaceWith(overviewCard(actions)));
