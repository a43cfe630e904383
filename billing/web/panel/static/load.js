// Loads days into the state, and has them drawn. Refreshes an open tab: every 5 minutes while it is visible,
// later after errors.

import { Failure, fetchDailyCosts, requestsInFlight } from "./api.js";
import { bounds } from "./dates.js";
import { recentStart } from "./recent.js";
import { beginRead, state, today } from "./state.js";

const MINUTE = 60000;
const EVERY = 5 * MINUTE;
const MOST = 60 * MINUTE;
const CHECK = 5000;

const draw = {};

/** `parts`: the functions that draw what was loaded, by name: daily, tokens, recent. */
export const drawWith = (parts) => Object.assign(draw, parts);

let again;

/**
 * Load the days of `state.period`, of `state.token` alone if there is one. Those on the screen stay there
 * meanwhile; `keep` leaves them there if it fails too.
 */
export async function loadDaily({ keep = false } = {}) {
  const isNewest = beginRead("daily");
  const request = { ...bounds(state.period, today()), zone: state.zone, group: "api_key_id", token: state.token?.id };
  clearTimeout(again);
  state.isReading = !keep;
  if (!keep) draw.daily();
  let found;
  try {
    found = await fetchDailyCosts(state.caller, state.i18n.locale, request);
  } catch (error) {
    // A defect of this page, for a Failure is returned. Thrown on, so that the browser reports it.
    found = new Failure("defect");
    throw error;
  } finally {
    if (found && isNewest()) await showDays(found, request, keep);
  }
}

async function showDays(found, request, keep) {
  if (found.kind === "bad_zone" && state.zone !== "UTC") {
    Object.assign(state, { refusedZone: state.zone, zone: "UTC" });
    await loadDaily({ keep });
    return;
  }
  state.isReading = false;
  const isFailure = found instanceof Failure;
  // Figures that are there are better than none.
  if (!keep || !isFailure || !state.daily?.days) {
    state.daily = isFailure ? found : { ...found, ...request, readAt: Date.now() };
    if (!isFailure) state.tokens = found.tokens;
  } else if (found.kind !== "usage_incomplete") state.daily.stale = found;
  draw.daily();
  draw.tokens();
  if (found.kind === "usage_incomplete") again = setTimeout(goOn, found.details[1] * 1000);
}

async function goOn() {
  if (!state.figures) return;
  if (requestsInFlight()) {
    again = setTimeout(goOn, 1000);
    return;
  }
  await loadDaily({ keep: true });
  await loadRecent();
}

/** Load the days of late, unless those that are shown are such. */
export async function loadRecent() {
  const isNewest = beginRead("recent");
  const [first, last] = [recentStart(today()), today()];
  const { daily } = state;
  // A site that is filling its memory, or has no days, is not asked for more of them.
  if (!daily?.days) return;
  const isShown = !daily.token && daily.first <= first && daily.last === last;
  const found = isShown ? daily : await fetchDailyCosts(state.caller, state.i18n.locale, { first, last, zone: state.zone });
  if (!isNewest() || found instanceof Failure) return;
  state.recent = found;
  draw.recent();
}

/** Milliseconds until the next refresh after that many failures in a row; `seconds`: the last one's Retry-After. */
export const waitAfter = (failures, seconds = 0) => Math.max(Math.min(EVERY * 2 ** failures, MOST), seconds * 1000);

/** `read()` reads everything again, one request after the other; it returns a Failure if that failed. */
export function keepFresh(read) {
  let failures = 0;
  let wait = EVERY;
  async function check() {
    if (document.hidden || !state.figures || requestsInFlight() || performance.now() - state.askedAt < wait) return;
    const failure = await read();
    failures = failure ? failures + 1 : 0;
    wait = waitAfter(failures, failure?.kind === "rate_limited" ? failure.details[0] : 0);
  }
  setInterval(check, CHECK);
  document.addEventListener("visibilitychange", check);
}
