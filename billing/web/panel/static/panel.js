// Wiring of the page: takes a key from the form, loads its figures, and shows them or a failure.
// The key is in `state.caller`, in sessionStorage if the box is ticked, and nowhere else.

import { Failure, fetchFigures, fetchGrants, parseCaller } from "./api.js";
import { failureCard, grantsCard, limitsNote, overviewCard } from "./cards.js";
import { dailyCard, showDaily } from "./daily.js";
import { byId, el, keepFocus } from "./dom.js";
import { drawWith, loadDaily } from "./load.js";
import { clearState, forgetCaller, rememberCaller, rememberedCaller, state, switchLanguage } from "./state.js";
import { LANGUAGES } from "./text.js";
import { showTokens, tokensCard } from "./tokens.js";

const form = byId("key-form");

/** The failures after which the key is not remembered: the next load would fail in the same way. */
const REFUSED = ["invalid_api_key", "api_key_disabled", "user_mismatch", "noUser", "user_disabled"];

function render() {
  const { failure, figures, i18n } = state;
  document.documentElement.lang = i18n.locale;
  document.title = i18n.t.title;
  byId("languages").replaceChildren(...Object.entries(LANGUAGES).map(languageButton));
  byId("languages").ariaLabel = i18n.t.languages;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = i18n.t[node.dataset.t];
  form.hidden = figures !== null;
  byId("message").replaceChildren(...(failure ? [failureCard(retry)] : []));
  byId("results").replaceChildren(...(figures ? [overviewCard(load, startOver), dailyCard(), tokensCard(), grantsCard()] : []));
  if (figures) showDaily();
  byId("page").hidden = false;
}

function languageButton([language, [name, lang]]) {
  const isCurrent = language === state.i18n.language;
  const onclick = async () => {
    await switchLanguage(language);
    keepFocus(render);
  };
  return el("button", { type: "button", class: "quiet", id: `language-${language}`, lang, "aria-pressed": isCurrent ? "true" : "false", onclick }, name);
}

function setBusy(busy) {
  document.querySelector("main").setAttribute("aria-busy", busy);
  form.querySelector("[type=submit]").disabled = busy;
}

async function load() {
  const startedAs = ++state.generation;
  setBusy(true);
  let figures;
  try {
    figures = await fetchFigures(state.caller, state.i18n.locale);
  } finally {
    // Also after a defect, which is thrown on: the form can be sent again.
    if (startedAs === state.generation) setBusy(false);
  }
  if (startedAs !== state.generation) return;
  if (figures instanceof Failure) {
    showFailure(figures);
    return;
  }
  Object.assign(state, { figures, failure: null, grants: [], limits: null });
  byId("key").value = "";
  if (byId("remember").checked) rememberCaller();
  else forgetCaller();
  render();
  byId("remaining").focus();
  loadDaily();
  loadGrants();
}

async function loadGrants() {
  const startedAs = state.generation;
  const found = await fetchGrants(state.caller, state.i18n.locale);
  if (startedAs !== state.generation || found instanceof Failure) return;
  const { grants } = found;
  state.limits = found.limits;
  byId("limits").replaceWith(limitsNote());
  // The single grant of a key or an account repeats the balance: it needs no card.
  if (grants.every(({ id }) => /^(token|account)-/.test(id))) return;
  state.grants = grants;
  byId("grants").replaceWith(grantsCard());
}

function showFailure(failure) {
  Object.assign(state, { figures: null, failure });
  if (failure.kind === "rate_limited") state.retryAt = performance.now() + failure.details[0] * 1000;
  if (REFUSED.includes(failure.kind)) forgetCaller();
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

drawWith({ daily: showDaily, tokens: showTokens });
render();
state.caller = rememberedCaller();
if (state.caller) {
  byId("remember").checked = true;
  byId("user").value = state.caller.user;
  load();
} else byId("key").focus();
