// Refreshes a tab that is left open: every 5 minutes while somebody can see it, later after errors.

import { requestsInFlight } from "./api.js";
import { state } from "./state.js";

const MINUTE = 60000;
const EVERY = 5 * MINUTE;
const MOST = 60 * MINUTE;
const CHECK = 5000;

/** How long to wait after so many failures in a row, the last of which asked for `seconds`. */
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
