// What the page knows now; what it keeps in its address, and the caller that sessionStorage remembers.

import { browserZone, dateIn, namedPeriod, periodName } from "./dates.js";
import { i18nFor } from "./text.js";

const STORAGE_KEY = "billing-panel";

/** The unit of the site's amounts and its symbol, as the server wrote them; empty if unknown. */
export const unitData = document.documentElement.dataset;

/** What a page without a caller knows. */
const nothing = () => ({
  ...{ caller: null, figures: null, readAt: 0, askedAt: 0, failure: null, stale: null, retryAt: 0 },
  ...{ grants: [], limits: null, who: null, recent: null, daily: null, tokens: null, token: null, isReading: false },
});

/** The range and the language of the page's address, and nothing else of it; never a key. */
const query = new URLSearchParams(location.search);
const address = Object.fromEntries(["range", "lang"].flatMap((name) => (query.has(name) ? [[name, query.get(name)]] : [])));

/**
 * `caller`: the key and the user ID; `figures`, `grants`, `limits`, `who`: what the routes returned, and
 * `readAt`: when; `failure`: why there are no figures; `stale`: why there are no newer ones; `askedAt`:
 * when they were asked for last, and `retryAt`: until when the failure "rate_limited" must wait, on the
 * clock of performance.now(), which no change of the system's time moves.
 * `recent`: the days since the month before.
 * `period`: which days (`range`; `first` and `last` of a range of one's own); `zone`: whose days;
 * `refusedZone`: the browser's, if the site cannot tell its days; `metric`: what is shown of them;
 * `isReading`: whether days are being loaded; `daily`: the last ones and their request, or a Failure; null
 * while the first load; `tokens`: an account's tokens in these days; `token`: the one whose days these are.
 */
export const state = {
  ...nothing(),
  period: namedPeriod(address.range) ?? { range: "30d" },
  zone: browserZone(),
  refusedZone: null,
  metric: "cost",
  i18n: await i18nFor(document.documentElement.lang, unitData),
};

/** Today's date in the zone whose days are shown. */
export const today = () => dateIn(state.zone)(Date.now());

/** By their kind, the reads of this caller that have begun last. */
let newest = {};

/**
 * Begin a read. The result tells whether it is still the newest of its kind, and its caller the same: else
 * its response is dropped, for another one is newer.
 */
export function beginRead(kind) {
  const read = (newest[kind] = {});
  return () => newest[kind] === read;
}

export function clearState() {
  newest = {};
  Object.assign(state, nothing());
}

/** Keep the range, and the language if it was chosen, for a reload or a friend. */
export function writeAddress(language = address.lang) {
  Object.assign(address, { range: periodName(state.period) }, language && { lang: language });
  history.replaceState(null, "", `?${new URLSearchParams(address)}`);
}

let chosen;

export async function switchLanguage(language) {
  chosen = language;
  const i18n = await i18nFor(language, unitData);
  // Another one may have been chosen while this one's texts came.
  if (chosen !== language) return;
  state.i18n = i18n;
  writeAddress(language);
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
