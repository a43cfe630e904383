// A chart of stacked bars in SVG, read by pointer, touch or keyboard; and the colour and texture of each model,
// in the chart and beside it.

const GAP = 8;
const MAX_BAR = 44;

/** Colours that are clearly different, and textures on them, the first being none. */
export const COLOURS = 6;
const TEXTURES = 3;

/** The colour of a name, 0 to 5: the same everywhere and for ever. FNV-1a, whose last bits are mixed. */
export function colourOf(name) {
  let hash = 2166136261;
  for (const character of name) hash = Math.imul(hash ^ character.codePointAt(0), 16777619) >>> 0;
  return ((hash ^ (hash >>> 15)) >>> 0) % COLOURS;
}

/**
 * The classes of each name: its colour, and a texture where names have the same one. By the alphabet:
 * which of them was used more changes from day to day.
 */
export function looks(names) {
  const taken = new Array(COLOURS).fill(0);
  const found = new Map();
  for (const name of [...names].sort()) {
    const colour = colourOf(name);
    found.set(name, { colour, texture: taken[colour]++ % TEXTURES });
  }
  return found;
}

/** Those of all models that have no colour of their own. */
export const REST = { colour: COLOURS, texture: 0 };

export const classOf = ({ colour, texture }) => `s${colour} x${texture}`;

const svg = (name, attributes = {}, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
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

/** Slanting stripes and level ones; the first texture is none. */
function textures() {
  const stripes = ["M-1 1l2-2M0 6L6 0M5 7l2-2", "M0 3H6"];
  return svg(
    "defs",
    {},
    ...stripes.map((d, index) =>
      svg("pattern", { id: `x${index + 1}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" }, svg("path", { d })),
    ),
  );
}

/**
 * Draw into `box`, and again whenever its size changes. `bars` are {label, values}, with one value for
 * each of `series`, whose looks these are. `onPoint(index)` is called with the bar pointed at, null for
 * none; `describe(index)` returns the text that a screen reader says for a bar.
 */
export function draw(box, bars, series, { short, label, onPoint, describe }) {
  let chosen = null;
  let marks = [];

  box.setAttribute("role", "slider");
  box.setAttribute("aria-label", label);
  box.setAttribute("aria-valuemin", 1);
  box.setAttribute("aria-valuemax", bars.length);
  box.tabIndex = 0;

  const choose = (index) => {
    marks[chosen]?.classList.remove("chosen");
    marks[index]?.classList.add("chosen");
    chosen = index;
    box.setAttribute("aria-valuenow", (index ?? bars.length - 1) + 1);
    box.setAttribute("aria-valuetext", describe(index ?? bars.length - 1));
    onPoint(index);
  };

  function paint() {
    const [width, height] = [box.clientWidth, box.clientHeight];
    if (!width) return;
    const picture = svg("svg", { width, height, "aria-hidden": "true" }, textures());
    box.replaceChildren(picture);
    const write = (text, attributes) => picture.appendChild(svg("text", attributes, text));
    const widest = (nodes) => Math.max(...nodes.map((node) => node.getComputedTextLength()));

    const up = bars.map(({ values }) => values.reduce((sum, value) => sum + Math.max(value, 0), 0));
    // Refunds can make a value negative: such bars go down from the zero line.
    const down = bars.map(({ values }) => values.reduce((sum, value) => sum + Math.min(value, 0), 0));
    const scale = ticks(Math.min(0, ...down), Math.max(0, ...up));
    const labels = scale.map((value) => write(short(value), { "text-anchor": "end" }));
    const line = labels[0].getBBox().height;
    const [top, bottom] = [line, line * 1.7];
    const y = (value) => top + (height - top - bottom) * (1 - (value - scale[0]) / (scale.at(-1) - scale[0]));
    const left = widest(labels) + GAP;
    scale.forEach((value, index) => {
      const [x, at] = [left - GAP, y(value)];
      labels[index].setAttribute("x", x);
      labels[index].setAttribute("y", at + line / 3);
      picture.append(svg("path", { d: `M${left} ${at}H${width}`, class: Math.abs(value) < 1e-12 ? "axis" : "grid" }));
    });

    const step = (width - left) / bars.length;
    marks = bars.map((_, index) =>
      svg("g", { class: "day" }, svg("rect", { x: left + step * index, y: 0, width: step, height: height - bottom })),
    );
    picture.append(...marks);
    paintBars(picture, y, left, step);

    const names = bars.map(({ label: text }) => write(text, { y: height - line / 3, "text-anchor": "middle" }));
    const room = widest(names);
    // The last name may stand to the left of its bar's middle.
    const every = Math.ceil((room + GAP + Math.max(room - step, 0) / 2) / step);
    names.forEach((node, index) => {
      const middle = left + step * (index + 0.5);
      // Counted from the end, so that the last bar always has a name.
      if ((bars.length - 1 - index) % every || middle < room / 2) node.remove();
      else node.setAttribute("x", Math.min(middle, width - node.getComputedTextLength() / 2));
    });
    choose(chosen);
  }

  /** One path for each series: a year of bars is drawn as fast as a week. */
  function paintBars(picture, y, left, step) {
    const bar = Math.max(Math.min(step * 0.72, MAX_BAR), Math.min(step, 1));
    const paths = series.map(() => "");
    bars.forEach(({ values }, index) => {
      const x = left + step * (index + 0.5) - bar / 2;
      let [above, below] = [0, 0];
      values.forEach((value, place) => {
        if (!value) return;
        const from = value > 0 ? above : below;
        if (value > 0) above += value;
        else below += value;
        paths[place] += `M${x} ${y(from)}h${bar}V${y(from + value)}h${-bar}z`;
      });
    });
    series.forEach((look, place) => {
      picture.append(svg("path", { d: paths[place], class: classOf(look) }));
      if (look.texture) picture.append(svg("path", { d: paths[place], fill: `url(#x${look.texture})` }));
    });
  }

  const barAt = (event) => {
    const [first, last] = [marks[0].getBoundingClientRect(), marks.at(-1).getBoundingClientRect()];
    const share = (event.clientX - first.left) / (last.right - first.left);
    return share < 0 || share >= 1 ? null : Math.floor(share * bars.length);
  };
  const point = (event) => marks.length && barAt(event) !== chosen && choose(barAt(event));
  box.addEventListener("pointermove", point);
  box.addEventListener("pointerdown", point);
  box.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && choose(null));
  box.addEventListener("blur", () => choose(null));
  box.addEventListener("keydown", (event) => {
    const last = bars.length - 1;
    const now = chosen ?? last + 1;
    const next = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, PageUp: now - 7, PageDown: now + 7, Home: 0, End: last }[event.key];
    if (event.key === "Escape") choose(null);
    if (next === undefined) return;
    event.preventDefault();
    choose(Math.max(0, Math.min(last, next)));
  });
  new ResizeObserver(paint).observe(box);
}
