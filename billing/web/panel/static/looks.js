// How a model is told from others: a colour that its name alone decides, and a texture.

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
