// Wiring of the page: takes a key from the form, loads its figures, and shows them or a failure.
// The key is in `state.caller`, in sessionStorage if the box is ticked, and nowhere else.

import { Failure, fetchFigures, fetchGrants } from "./api.js";
import { failureCard, grantsCard, skeleton } from "./cards.js";
import { dailyCard, showDaily } from "./daily.js";
import { byId, keepFocus } from "./dom.js";
import { drawWith, keepFresh, loadDaily, loadRecent } from "./load.js";
import { overviewCard, showOverview } from "./overview.js";
import { parseCaller } from "./pasted.js";
import { showRecent } from "./recent.js";
import { beginRead, clearState, forgetCaller, rememberCaller, rememberedCaller, state, switchLanguage } from "./state.js";
import { copySummary } from "./takeaway.js";
import { showTokens, tokensCard } from "./tokens.js";

const form = byId("key-form");
const languages = byId("languages");

/** The failures after which the key is not remembered: the next load would fail in the same way. */
const REFUSED = ["invalid_api_key", "api_key_disabled", "user_mismatch", "noUser", "user_disabled"];

function render() {
  const { failure, figures, i18n } = state;
  document.documentElement.lang = i18n.language;
  document.title = document.querySelector("h1").innerText;
  languages.ariaLabel = i18n.t.languages;
  for (const each of languages.children) each.ariaPressed = each.lang === i18n.language;
  form.hidden = figures !== null;
  byId("message").replaceChildren(...(failure ? [failureCard(retry)] : []));
  byId("results").replaceChildren(...(figures ? [overviewCard(actions), dailyCard(), tokensCard(), grantsCard()] : []));
  if (figures) showDaily();
  showKey(false);
}

function setBusy(busy) {
  document.querySelector("main").setAttribute("aria-busy", busy);
  form.querySelector("[type=submit]").disabled = busy;
}

/**
 * Read the caller's figures, and then its days and grants. `byOne`: one request after the other, and
 * nothing moves on the screen meanwhile. Returns the Failure if there is one.
 */
async function load({ byOne = false } = {}) {
  const isNewest = beginRead("figures");
  state.askedAt = performance.now();
  const isFirst = state.figures === null;
  if (!byOne) setBusy(true);
  if (isFirst) byId("results").replaceChildren(skeleton());
  let figures;
  try {
    figures = await fetchFigures(state.caller, state.i18n.locale, byOne);
  } finally {
    // Also after a defect, which is thrown on: the form can be sent again.
    if (isNewest()) {
      setBusy(false);
      if (isFirst) byId("results").replaceChildren();
    }
  }
  if (!isNewest()) return null;
  if (figures instanceof Failure) {
    showFailure(figures);
    return figures;
  }
  Object.assign(state, { figures, readAt: Date.now(), failure: null, stale: null });
  if (isFirst) showFirst();
  else showOverview(actions);
  const days = loadDaily({ keep: !isFirst });
  if (!byOne) {
    days.then(loadRecent);
    loadGrants();
    return null;
  }
  await days;
  // A load that began meanwhile reads these too.
  for (const read of [loadRecent, loadGrants]) if (isNewest()) await read();
  return daysFailure();
}

/** Why the days could not be read; null where they were, or never can be. */
function daysFailure() {
  const { daily } = state;
  const failure = daily instanceof Failure ? daily : daily?.stale;
  return !failure || failure.kind === "unsupported_logs" ? null : failure;
}

function showFirst() {
  byId("key").value = "";
  if (byId("remember").checked) rememberCaller();
  else forgetCaller();
  render();
  byId("remaining").focus();
}

async function loadGrants() {
  const isNewest = beginRead("grants");
  const found = await fetchGrants(state.caller, state.i18n.locale);
  if (!isNewest() || found instanceof Failure) return;
  const { grants, limits, who } = found;
  // The single grant of a key or an account repeats the balance: it needs no card.
  const isOne = grants.every(({ id }) => /^(token|account)-/.test(id));
  Object.assign(state, { limits, who, grants: isOne ? [] : grants });
  showOverview(actions);
  byId("grants").replaceWith(grantsCard());
  // When a key was used last is known only now.
  if (state.daily?.days?.every(({ items }) => !items.length)) showDaily();
}

/** Figures that were read before stay, unless the key is refused now. */
function showFailure(failure) {
  if (failure.kind === "rate_limited") state.retryAt = performance.now() + failure.details[0] * 1000;
  if (REFUSED.includes(failure.kind)) forgetCaller();
  else if (state.figures) {
    state.stale = failure;
    showOverview(actions);
    return;
  }
  Object.assign(state, { figures: null, failure });
  render();
}

/** With the key in the form, or with the current one when a refresh failed. */
function retry() {
  if (byId("key").value) form.requestSubmit();
  else load();
}

function startOver() {
  forgetCaller();
  setBusy(false);
  clearState();
  for (const id of ["key", "user"]) byId(id).value = "";
  byId("remember").checked = false;
  render();
  byId("key").focus();
}

const actions = { refresh: () => load(), copy: copySummary, other: startOver };

function showKey(isShown) {
  const eye = byId("eye");
  byId("key").type = isShown ? "text" : "password";
  eye.hidden = false;
  eye.ariaPressed = isShown;
  eye.ariaLabel = state.i18n.t[isShown ? "hideKey" : "showKey"];
}

byId("eye").addEventListener("click", () => showKey(byId("key").type === "password"));

for (const each of languages.children) {
  each.addEventListener("click", async () => {
    await switchLanguage(each.lang);
    keepFocus(render);
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const caller = parseCaller(byId("key").value, byId("user").value);
  if (caller instanceof Failure) {
    showFailure(caller);
    return;
  }
  state.caller = caller;
  load();
});

drawWith({ daily: showDaily, tokens: showTokens, recent: showRecent });
render();
languages.disabled = false;
setBusy(false);
keepFresh(() => load({ byOne: true }));
state.caller = rememberedCaller();
if (state.caller) {
  byId("remember").checked = true;
  byId("user").value = state.caller.user;
  load();
  // Not by `autofocus`, which delays the first view; and only while no other field has the focus.
} else if (document.activeElement === document.body) byId("key").focus();
