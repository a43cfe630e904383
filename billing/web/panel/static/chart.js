// A chart of stacked bars, one for each day, in SVG: one reads it by pointer, touch or keyboard.

// Pixels: the height is that of `.chart` in panel.css; the margins leave room for the labels.
const HEIGHT = 220;
const TOP = 12;
const BOTTOM = 24;
const CHARACTER = 7;
const MIN_LABEL_DISTANCE = 52;
const MAX_BAR = 44;

const svg = (name, attributes, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
};

/** About five round numbers with equal steps, from at most `low` to at least `high`. */
export function ticks(low, high) {
  const rough = (high - low) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  // The small factors and terms below absorb the rounding errors of doubles.
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough * 0.999999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: Math.max(last - first, 1) + 1 }, (_, index) => (first + index) * step);
}

/**
 * Draw into `box`, and again whenever its width changes. `days` are {timestamp, costs}, with one cost
 * for each series, in the same order every day. `onPoint(index)` is called with the day pointed at,
 * null for none; `describe(index)` returns the text that a screen reader says for a day.
 */
export function draw(box, days, { amount, shortDay, label, onPoint, describe }) {
  let chosen = null;
  let marks = [];

  box.setAttribute("role", "slider");
  box.setAttribute("aria-label", label);
  box.setAttribute("aria-valuemin", 1);
  box.setAttribute("aria-valuemax", days.length);
  box.tabIndex = 0;

  const choose = (index) => {
    chosen = index;
    marks.forEach((mark, each) => mark.classList.toggle("chosen", each === index));
    box.setAttribute("aria-valuenow", (index ?? days.length - 1) + 1);
    box.setAttribute("aria-valuetext", describe(index ?? days.length - 1));
    onPoint(index);
  };

  function paint() {
    const width = box.clientWidth;
    if (!width) return;
    const up = days.map(({ costs }) => costs.reduce((sum, cost) => sum + Math.max(cost, 0), 0));
    // Refunds can make a day's cost negative: such bars go down from the zero line.
    const down = days.map(({ costs }) => costs.reduce((sum, cost) => sum + Math.min(cost, 0), 0));
    const scale = ticks(Math.min(0, ...down), Math.max(0, ...up));
    const low = scale[0];
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (scale.at(-1) - low));
    const labels = scale.map(amount);
    const left = Math.min(10 + CHARACTER * Math.max(...labels.map((each) => each.length)), width / 3);
    const step = (width - left) / days.length;
    const bar = Math.max(Math.min(step * 0.72, MAX_BAR), Math.min(step, 1));

    const picture = svg("svg", { width, height: HEIGHT, "aria-hidden": "true" });
    scale.forEach((value, index) => {
      picture.append(
        svg("line", { x1: left, x2: width, y1: y(value), y2: y(value), class: Math.abs(value) < 1e-12 ? "axis" : "grid" }),
        svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, labels[index]),
      );
    });
    const every = Math.ceil(MIN_LABEL_DISTANCE / step);
    marks = days.map(({ timestamp, costs }, index) => {
      const middle = left + step * (index + 0.5);
      const mark = svg("g", { class: "day" });
      mark.append(svg("rect", { x: left + step * index, y: 0, width: step, height: HEIGHT - BOTTOM, class: "hit" }));
      let above = 0;
      let below = 0;
      costs.forEach((cost, place) => {
        if (!cost) return;
        const from = cost > 0 ? above : below;
        if (cost > 0) above += cost;
        else below += cost;
        const [head, foot] = [y(Math.max(from, from + cost)), y(Math.min(from, from + cost))];
        mark.append(svg("rect", { x: middle - bar / 2, y: head, width: bar, height: foot - head, class: `s${place}` }));
      });
      // Counted from the end, so that the last day always has a label.
      if ((days.length - 1 - index) % every === 0 && middle - left > 12) {
        const end = index === days.length - 1 && step < 40;
        picture.append(svg("text", { x: end ? width : middle, y: HEIGHT - 6, "text-anchor": end ? "end" : "middle" }, shortDay(timestamp)));
      }
      return mark;
    });
    picture.append(...marks);
    box.replaceChildren(picture);
    choose(chosen);
  }

  const dayAt = (event) => {
    const [first, last] = [marks[0].getBoundingClientRect(), marks.at(-1).getBoundingClientRect()];
    const share = (event.clientX - first.left) / (last.right - first.left);
    return share < 0 || share >= 1 ? null : Math.floor(share * days.length);
  };
  box.addEventListener("pointermove", (event) => choose(dayAt(event)));
  box.addEventListener("pointerdown", (event) => choose(dayAt(event)));
  box.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && choose(null));
  box.addEventListener("blur", () => choose(null));
  box.addEventListener("keydown", (event) => {
    const last = days.length - 1;
    const now = chosen ?? last + 1;
    const next = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, PageUp: now - 7, PageDown: now + 7, Home: 0, End: last }[event.key];
    if (event.key === "Escape") choose(null);
    if (next === undefined) return;
    event.preventDefault();
    choose(Math.max(0, Math.min(last, next)));
  });
  new ResizeObserver(paint).observe(box);
}
