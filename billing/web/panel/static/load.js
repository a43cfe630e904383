// Loads the figures of the caller into the state, and has them drawn. `start` says who draws what.

import { Failure, fetchDailyCosts } from "./api.js";
import { bounds } from "./dates.js";
import { state, today } from "./state.js";

const draw = {};

/** `parts`: the functions that draw what was loaded, by name: daily, tokens. */
export const drawWith = (parts) => Object.assign(draw, parts);

let again;

/**
 * Load the days of `state.period`, of `state.token` alone if there is one. Those on the screen stay there
 * meanwhile; `keep` leaves them there if it fails too.
 */
export async function loadDaily({ keep = false } = {}) {
  const startedAs = state.generation;
  const request = { ...bounds(state.period, today()), zone: state.zone, token: state.token?.id };
  clearTimeout(again);
  Object.assign(state, { request, isReading: !keep });
  if (!keep) draw.daily();
  const isOver = () => startedAs !== state.generation || state.request !== request;
  let found;
  try {
    found = await fetchDailyCosts(state.caller, state.i18n.locale, request);
  } catch (error) {
    // A defect of this page, for a Failure is returned. Thrown on, so that the browser reports it.
    found = new Failure("defect");
    throw error;
  } finally {
    if (found && !isOver()) showDays(found, request, keep);
  }
}

function showDays(found, request, keep) {
  if (found.kind === "bad_zone" && state.zone !== "UTC") {
    Object.assign(state, { refusedZone: state.zone, zone: "UTC" });
    loadDaily({ keep });
    return;
  }
  state.isReading = false;
  // Figures that are there are better than none.
  if (!(keep && found instanceof Failure && state.daily && !(state.daily instanceof Failure))) {
    state.daily = found instanceof Failure ? found : { ...found, first: request.first, last: request.last };
    if (!(found instanceof Failure)) state.tokens = found.tokens;
  }
  draw.daily();
  draw.tokens();
  if (found.kind === "usage_incomplete") again = setTimeout(() => loadDaily({ keep: true }), found.details[1] * 1000);
}
