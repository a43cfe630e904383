// Building elements. Text is inserted as text: no response can become markup.

export const byId = (id) => document.getElementById(id);

/** An element. Attributes that are undefined or false are left out, as are children that are null. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** A button with an id; `quiet` without a border, unless `more` says otherwise. */
export const button = (id, text, onclick, more = { class: "quiet" }) => el("button", { type: "button", id, onclick, ...more }, text);

/** A box that scrolls by itself on a narrow screen; focusable, so that the arrow keys scroll it. */
export const scroller = (label, child) =>
  el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, child);

export const scrollTable = (caption, columns, rows) =>
  scroller(
    caption,
    el(
      "table",
      {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, ...columns.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...rows),
    ),
  );

/** The text with places after `/`, `-`, `.`, `_` and `:` where a line may end, rather than inside a word. */
export function wordBreaks(text) {
  const node = document.createDocumentFragment();
  for (const part of text.split(/(?<=[/\-._:])/)) node.append(part, document.createElement("wbr"));
  return node;
}

/** Radio buttons in one bar. `options` are [value, text] pairs. */
export const choices = (legend, name, options, chosen, onchange) =>
  el(
    "fieldset",
    { class: "ranges" },
    el("legend", {}, legend),
    ...options.map(([value, text]) =>
      el(
        "label",
        {},
        el("input", { type: "radio", name, id: `${name}-${value}`, value, checked: value === chosen, onchange: () => onchange(value) }),
        el("span", {}, text),
      ),
    ),
  );

/** Draw something again: the element with the focus may be replaced by another of its id. */
export function keepFocus(change) {
  const before = document.activeElement;
  const { id } = before;
  change();
  if (id && document.activeElement !== before) byId(id)?.focus({ preventScroll: true });
}
