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

/** A table that scrolls by itself on a narrow screen; focusable, so that the arrow keys scroll it. */
export const scrollTable = (caption, columns, rows, foot) =>
  el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el(
      "table",
      {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, ...columns.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...rows),
      foot ? el("tfoot", {}, foot) : null,
    ),
  );
