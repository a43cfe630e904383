// What the page knows now, and the caller that it remembers in sessionStorage.

import { i18nFor, preferredLanguage } from "./text.js";

const STORAGE_KEY = "billing-panel";

/** The unit of the site's amounts and its symbol, as the server wrote them; empty if unknown. */
export const unitData = document.documentElement.dataset;

/** What a page without a caller knows. */
const nothing = () => ({ caller: null, figures: null, failure: null, retryAt: 0, grants: [], limits: null, daily: null });

/**
 * `caller`: the key and the user ID; `figures`, `grants`, `limits`: what the routes returned;
 * `failure`: why there are no figures; `retryAt`: until when the failure "rate_limited" must wait,
 * on the clock of performance.now(), which no change of the system's time moves.
 * `period`: which days (`choice`; `start` and `end` in unix seconds, the end exclusive);
 * `daily`: their costs, or a Failure; null while they load.
 * `generation`: counts loads, so that a late response to an earlier load is dropped.
 */
export const state = {
  ...nothing(),
  period: { choice: "30" },
  generation: 0,
  i18n: i18nFor(preferredLanguage(), unitData),
};

export function clearState() {
  state.generation += 1;
  Object.assign(state, nothing());
}

export function switchLanguage() {
  state.i18n = i18nFor(state.i18n.language === "zh" ? "en" : "zh", unitData);
}

// A browser may refuse storage altogether: then nothing is remembered, which is no error.

export function rememberCaller() {
  try {
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify(state.caller));
  } catch {}
}

export function forgetCaller() {
  try {
    sessionStorage.removeItem(STORAGE_KEY);
  } catch {}
}

export function rememberedCaller() {
  try {
    return JSON.parse(sessionStorage.getItem(STORAGE_KEY));
  } catch {
    return null;
  }
}
