// A table of rows with cost, tokens and requests: ten of them, then all; searched, and sorted by a column.

import { button, el, scroller, wordBreaks } from "./dom.js";
import { state } from "./state.js";
import { emptyRow, total } from "./sums.js";

const FEW = 10;
/** How many rows are shown at most: a browser stalls at a hundred thousand. */
const MOST = 300;

const byName = new Intl.Collator().compare;

/** How a table is looked at, by its id; kept while its figures are read again. */
const views = {};

/** The rows whose name has the text in it, sorted by a column; numbers from the highest on. */
export function arrange(rows, { sort, descending, query }) {
  const wanted = query.trim().toLowerCase();
  const found = rows.filter(({ title }) => title.toLowerCase().includes(wanted));
  const sign = descending ? -1 : 1;
  const value = (row) => row[sort] ?? -1;
  return found.sort((one, other) =>
    sort === "title"
      ? sign * byName(one.title, other.title)
      : sign * (value(one) - value(other)) || other.cost - one.cost || byName(one.title, other.title),
  );
}

/**
 * `rows` have a `title` beside their figures, and `key`, by which `show` finds them. `columns` are {id,
 * label, text(row, whole, positive)}, the first of them the row's heading, {id: "title", label,
 * cell(row)}. `rest` names all rows that are not shown, `positive` is the sum of what is positive. The result
 * is {node, show}: `show(rows)` puts other figures of the same rows into the table, `show()` its own again.
 */
export function rankedTable({ id, caption, rest, columns, rows, metric }) {
  const { t, count } = state.i18n;
  const view = (views[id] ??= { sort: null, descending: true, all: false, query: "" });
  const own = new Map(rows.map((row) => [row.key, row]));
  const whole = total(rows);
  const body = el("tbody");
  const foot = el("tfoot");
  const more = button(`${id}-more`, "", () => ((view.all = !view.all), fill()));
  let shown = [];

  const cells = (row, of, positive) => columns.slice(1).map(({ text, id: column }) => el("td", { "data-column": column }, text(row, of, positive)));
  const line = (heading, ...args) => el("tr", {}, el("th", { scope: "row" }, heading), ...(args.length ? cells(...args) : []));

  function show(others) {
    const all = others ?? own;
    const of = others ? total(others.values()) : whole;
    const positive = [...all.values()].reduce((sum, row) => sum + Math.max(row[metric], 0), 0);
    const named = shown.map(({ key }) => all.get(key) ?? emptyRow());
    const keys = new Set(shown.map(({ key }) => key));
    const unnamed = () => total([...all].filter(([key]) => !keys.has(key)).map(([, row]) => row));
    [...body.rows].forEach((tr, index) => tr.replaceChildren(tr.cells[0], ...cells(named[index] ?? unnamed(), of, positive)));
    foot.replaceChildren(line(t.total, of, of, positive));
  }

  function fill() {
    const found = arrange(rows, { ...view, sort: view.sort ?? metric });
    shown = found.slice(0, view.all ? MOST : FEW);
    // One more row takes no more room than the row that says so.
    if (found.length === shown.length + 1) shown = found;
    const hasRest = shown.length < rows.length;
    body.replaceChildren(
      ...shown.map((row) => line(columns[0].cell(row))),
      ...(hasRest ? [line(columns[0].cell({ title: rest ?? t.rest }))] : []),
    );
    more.hidden = found.length <= FEW + 1;
    more.textContent = view.all ? t.fewer(count(FEW)) : t.all(count(found.length));
    for (const th of head.cells) {
      const isSorted = th.dataset.column === (view.sort ?? metric);
      th.ariaSort = isSorted ? (view.descending ? "descending" : "ascending") : "none";
    }
    show();
  }

  const sortBy = (column) => {
    const isSorted = column === (view.sort ?? metric);
    Object.assign(view, { sort: column, descending: isSorted ? !view.descending : column !== "title" });
    fill();
  };
  const head = el(
    "tr",
    {},
    ...columns.map(({ id: column, label, sorts = true }) =>
      el("th", { scope: "col", "data-column": column }, sorts ? button(`${id}-${column}`, label, () => sortBy(column), {}) : label),
    ),
  );
  const search =
    rows.length > FEW
      ? el("input", { type: "search", id: `${id}-search`, class: "search", placeholder: t.search, "aria-label": `${t.search}: ${caption}`, oninput: ({ target }) => ((view.query = target.value), fill()) })
      : null;
  if (search) search.value = view.query;
  else view.query = "";
  const table = el("table", { class: "ranked" }, el("caption", {}, caption), el("thead", {}, head), body, foot);
  fill();
  return { node: el("div", { class: "table" }, search, scroller(caption, table), more), show };
}

/** A name that breaks where its words end. */
export const title = (text) => wordBreaks(text || state.i18n.t.unnamed);
