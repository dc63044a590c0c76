// Painting a mask: strokes, boxes, edges and their history, without a page.
// A mask's values are bytes, row by row, 0 outside to 255 inside.

/**
 * @typedef {object} Box pixels; right and bottom are the first outside
 * @property {number} left
 * @property {number} top
 * @property {number} right
 * @property {number} bottom
 *
 * @typedef {object} Dab one touch of the brush, in pixels
 * @property {number} x
 * @property {number} y
 * @property {number} radius
 *
 * @typedef {object} Size
 * @property {number} width
 * @property {number} height
 *
 * @typedef {object} Patch the values of a box before and after a change
 * @property {Box} box
 * @property {Uint8Array} before
 * @property {Uint8Array} after
 *
 * @typedef {object} History
 * @property {readonly Patch[]} past
 * @property {readonly Patch[]} future
 */

/** Bytes of patches that a history keeps; beyond it, the oldest are forgotten. */
export const HISTORY_BYTES = 96 * 2 ** 20;

/** A cell whose average is below this acts so weakly that it counts as lost. */
const WEAK = 0.4;

// Boxes.

/**
 * Return the box of all pixels that a stroke between two dabs may touch.
 *
 * @param {Dab} from
 * @param {Dab} to
 * @param {Size} size
 * @returns {Box}
 */
export function boxBetween(from, to, size) {
  const reach = Math.max(from.radius, to.radius) + 1;
  return {
    left: clamp(Math.floor(Math.min(from.x, to.x) - reach), 0, size.width),
    top: clamp(Math.floor(Math.min(from.y, to.y) - reach), 0, size.height),
    right: clamp(Math.ceil(Math.max(from.x, to.x) + reach), 0, size.width),
    bottom: clamp(Math.ceil(Math.max(from.y, to.y) + reach), 0, size.height),
  };
}

/**
 * Return the smallest box around two boxes, of which the first may be missing.
 *
 * @param {Box | null} one
 * @param {Box} other
 * @returns {Box}
 */
export function union(one, other) {
  if (!one) return other;
  return {
    left: Math.min(one.left, other.left),
    top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right),
    bottom: Math.max(one.bottom, other.bottom),
  };
}

/**
 * Return the box of a whole mask.
 *
 * @param {Size} size
 * @returns {Box}
 */
export function whole({ width, height }) {
  return { left: 0, top: 0, right: width, bottom: height };
}

/**
 * Return the box of the pixels that differ between two masks, or null if none does.
 *
 * @param {Uint8Array} before
 * @param {Uint8Array} after
 * @param {Size} size
 * @returns {Box | null}
 */
export function changedBox(before, after, { width, height }) {
  let left = width,
    right = 0,
    top = height,
    bottom = 0;
  for (let y = 0, place = 0; y < height; y++) {
    for (let x = 0; x < width; x++, place++) {
      if (before[place] === after[place]) continue;
      if (x < left) left = x;
      if (x >= right) right = x + 1;
      if (y < top) top = y;
      bottom = y + 1;
    }
  }
  return right ? { left, top, right, bottom } : null;
}

// Strokes. The coverage of a stroke is its largest anywhere along the path, so that a soft brush
// does not darken where dabs overlap or the pointer rests.

/**
 * Return how much a brush covers at a distance from its centre, 0 to 1.
 *
 * @param {number} away the distance
 * @param {number} radius
 * @param {number} softness 0: a hard edge, one pixel wide; 1: soft up to the centre
 * @returns {number}
 */
export function falloff(away, radius, softness) {
  const outer = radius + (1 - softness) / 2;
  const edge = Math.max(1, radius * softness);
  const share = clamp((outer - away) / edge, 0, 1);
  return share * share * (3 - 2 * share);
}

/**
 * Raise the coverage of a stroke along a straight line between two dabs.
 *
 * @param {Float32Array} coverage of the stroke so far, 0 to 1
 * @param {Size} size
 * @param {Dab} from
 * @param {Dab} to
 * @param {number} softness 0 to 1
 * @returns {Box} the box of all pixels that may have changed
 */
export function cover(coverage, size, from, to, softness) {
  const box = boxBetween(from, to, size);
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  for (let y = box.top; y < box.bottom; y++) {
    for (let x = box.left; x < box.right; x++) {
      const place = y * size.width + x;
      if (coverage[place] === 1) continue;
      const px = x + 0.5 - from.x;
      const py = y + 0.5 - from.y;
      const along = length ? clamp((px * dx + py * dy) / length, 0, 1) : 1;
      const aside = px - along * dx;
      const below = py - along * dy;
      const radius = from.radius + along * (to.radius - from.radius);
      const value = falloff(Math.sqrt(aside * aside + below * below), radius, softness);
      if (value > coverage[place]) coverage[place] = value;
    }
  }
  return box;
}

/**
 * Return dabs along a curve that leads from one dab to another and bends towards a third.
 *
 * Curves between the middles of a pointer's places, each bent towards the place between them, are
 * one smooth line.
 *
 * @param {Dab} from
 * @param {Dab} bend
 * @param {Dab} to
 * @returns {Dab[]} the last is `to`; `from` is left out
 */
export function curve(from, bend, to) {
  const length = distance(from, bend) + distance(bend, to);
  const straight = distance(from, to);
  const count = length - straight < 0.1 ? 1 : Math.max(1, Math.ceil(length / 3));
  return Array.from({ length: count }, (_, number) => {
    const t = (number + 1) / count;
    const [a, b, c] = [(1 - t) * (1 - t), 2 * t * (1 - t), t * t];
    return {
      x: a * from.x + b * bend.x + c * to.x,
      y: a * from.y + b * bend.y + c * to.y,
      radius: a * from.radius + b * bend.radius + c * to.radius,
    };
  });
}

/**
 * Return the dab halfway between two.
 *
 * @param {Dab} one
 * @param {Dab} other
 * @returns {Dab}
 */
export function middle(one, other) {
  return {
    x: (one.x + other.x) / 2,
    y: (one.y + other.y) / 2,
    radius: (one.radius + other.radius) / 2,
  };
}

/**
 * Set the values in a box to those before a stroke, painted over with the stroke, or erased by it.
 *
 * @param {Uint8Array} values
 * @param {Uint8Array} before
 * @param {Float32Array} coverage
 * @param {Size} size
 * @param {Box} box
 * @param {boolean} erase
 */
export function compose(values, before, coverage, { width }, box, erase) {
  const goal = erase ? 0 : 255;
  for (let y = box.top; y < box.bottom; y++) {
    for (let place = y * width + box.left; place < y * width + box.right; place++) {
      values[place] = Math.round(before[place] + (goal - before[place]) * coverage[place]);
    }
  }
}

// Changes of the whole mask. Each returns new values.

/**
 * Return a mask with a box painted or erased; pixels that it covers in part are grey.
 *
 * @param {Uint8Array} values
 * @param {Size} size
 * @param {Box} box in pixels, with fractions
 * @param {boolean} erase
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function withBox(values, size, box, erase) {
  const coverage = new Float32Array(values.length);
  const [across, down] = [
    shares(box.left, box.right, size.width),
    shares(box.top, box.bottom, size.height),
  ];
  for (let place = 0; place < coverage.length; place++) {
    coverage[place] = across[place % size.width] * down[Math.floor(place / size.width)];
  }
  const found = values.slice();
  compose(found, values, coverage, size, whole(size), erase);
  return found;
}

/**
 * Return a mask joined with another: the larger of both values at each pixel.
 *
 * @param {Uint8Array} values
 * @param {Uint8Array} other
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function joined(values, other) {
  return values.map((value, place) => Math.max(value, other[place]));
}

/**
 * Return a mask with inside and outside exchanged.
 *
 * @param {Uint8Array} values
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function inverted(values) {
  return values.map((value) => 255 - value);
}

/**
 * Return a mask that reaches further by some pixels to all sides.
 *
 * @param {Uint8Array} values
 * @param {Size} size
 * @param {number} pixels
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function grown(values, { width, height }, pixels) {
  const found = values.slice();
  // The largest value in each row within `reach` pixels; from the rows at the disc's rim inwards.
  let rows = values;
  let reach = 0;
  for (let away = pixels; away >= 0; away--) {
    const chord = Math.floor(Math.sqrt(pixels * pixels - away * away));
    for (; reach < chord; reach++) rows = wider(rows, width);
    const shift = away * width;
    for (let place = 0; place < width * height - shift; place++) {
      if (rows[place + shift] > found[place]) found[place] = rows[place + shift];
      if (rows[place] > found[place + shift]) found[place + shift] = rows[place];
    }
  }
  return found;
}

/**
 * Return a mask that is smaller by some pixels from all sides but the image's own.
 *
 * @param {Uint8Array} values
 * @param {Size} size
 * @param {number} pixels
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function shrunk(values, size, pixels) {
  return inverted(grown(inverted(values), size, pixels));
}

/**
 * Return a mask with softer edges.
 *
 * @param {Uint8Array} values
 * @param {Size} size
 * @param {number} pixels how far inside and outside the edge begins to fade
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function feathered(values, { width, height }, pixels) {
  const reach = Math.max(1, Math.round(pixels / 2));
  let found = Float32Array.from(values);
  // Three averages come close to a normal distribution.
  for (let pass = 0; pass < 3; pass++) {
    found = averaged(found, width, height, 1, width, reach);
    found = averaged(found, height, width, width, 1, reach);
  }
  const bytes = new Uint8Array(values.length);
  for (let place = 0; place < bytes.length; place++) bytes[place] = Math.round(found[place]);
  return bytes;
}

// Measures.

/**
 * Return the part of the image that a mask covers, 0 to 1.
 *
 * @param {Uint8Array} values
 * @returns {number}
 */
export function share(values) {
  let sum = 0;
  for (let place = 0; place < values.length; place++) sum += values[place];
  return sum / 255 / values.length;
}

/**
 * Return which part of a mask is so thin that it hardly acts, 0 to 1.
 *
 * The model sees the average of each cell, so that a line much thinner than a cell fades.
 *
 * @param {Uint8Array} values
 * @param {Size} size
 * @param {number} cell pixels a side
 * @returns {number}
 */
export function thinShare(values, { width, height }, cell) {
  let [lost, all] = [0, 0];
  for (let top = 0; top < height; top += cell) {
    for (let left = 0; left < width; left += cell) {
      let sum = 0;
      const [right, bottom] = [Math.min(left + cell, width), Math.min(top + cell, height)];
      for (let y = top; y < bottom; y++) {
        for (let x = left; x < right; x++) sum += values[y * width + x];
      }
      all += sum;
      if (sum < WEAK * 255 * (right - left) * (bottom - top)) lost += sum;
    }
  }
  return all ? lost / all : 0;
}

// History.

/** @type {History} */
export const NO_HISTORY = { past: [], future: [] };

/**
 * Return the change from one mask to another, or null if they are equal.
 *
 * @param {Uint8Array} before
 * @param {Uint8Array} after
 * @param {Size} size
 * @returns {Patch | null}
 */
export function patchBetween(before, after, size) {
  const box = changedBox(before, after, size);
  return box && { box, before: cut(before, size, box), after: cut(after, size, box) };
}

/**
 * Return a history with one more change, which ends what could be redone.
 *
 * @param {History} history
 * @param {Patch} patch
 * @param {number} [limit] bytes to keep; the last change is always kept
 * @returns {History}
 */
export function withPatch(history, patch, limit = HISTORY_BYTES) {
  const past = [...history.past, patch];
  let bytes = past.reduce((sum, one) => sum + bytesOf(one), 0);
  while (past.length > 1 && bytes > limit) bytes -= bytesOf(/** @type {Patch} */ (past.shift()));
  return { past, future: [] };
}

/**
 * Reverse the last change in a mask's values.
 *
 * @param {History} history
 * @param {Uint8Array} values
 * @param {Size} size
 * @returns {{ history: History, box: Box | null }} box: where the values changed
 */
export function undone(history, values, size) {
  const patch = history.past.at(-1);
  if (!patch) return { history, box: null };
  paste(values, size, patch.box, patch.before);
  const past = history.past.slice(0, -1);
  return { history: { past, future: [...history.future, patch] }, box: patch.box };
}

/**
 * Repeat the last change that was undone in a mask's values.
 *
 * @param {History} history
 * @param {Uint8Array} values
 * @param {Size} size
 * @returns {{ history: History, box: Box | null }} box: where the values changed
 */
export function redone(history, values, size) {
  const patch = history.future.at(-1);
  if (!patch) return { history, box: null };
  paste(values, size, patch.box, patch.after);
  const future = history.future.slice(0, -1);
  return { history: { past: [...history.past, patch], future }, box: patch.box };
}

// The rest is not exported.

/** @param {number} value @param {number} low @param {number} high */
function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

/** @param {Dab} one @param {Dab} other */
function distance(one, other) {
  return Math.hypot(other.x - one.x, other.y - one.y);
}

/** @param {Patch} patch */
function bytesOf({ before, after }) {
  return before.length + after.length;
}

/** @param {Uint8Array} values @param {Size} size @param {Box} box */
function cut(values, { width }, { left, top, right, bottom }) {
  const found = new Uint8Array((right - left) * (bottom - top));
  for (let y = top; y < bottom; y++) {
    const row = values.subarray(y * width + left, y * width + right);
    found.set(row, (y - top) * (right - left));
  }
  return found;
}

/** @param {Uint8Array} values @param {Size} size @param {Box} box @param {Uint8Array} part */
function paste(values, { width }, { left, top, right, bottom }, part) {
  const across = right - left;
  for (let y = top; y < bottom; y++) {
    values.set(part.subarray((y - top) * across, (y - top + 1) * across), y * width + left);
  }
}

/**
 * Return the part of each of `count` pixels that lies between two places.
 *
 * @param {number} from
 * @param {number} to
 * @param {number} count
 * @returns {number[]}
 */
function shares(from, to, count) {
  const [low, high] = [Math.min(from, to), Math.max(from, to)];
  return Array.from({ length: count }, (_, at) =>
    Math.max(0, Math.min(at + 1, high) - Math.max(at, low)),
  );
}

/** @param {Uint8Array} values @param {number} width @returns {Uint8Array<ArrayBuffer>} */
function wider(values, width) {
  const found = values.slice();
  for (let start = 0; start < values.length; start += width) {
    for (let place = start + 1; place < start + width; place++) {
      if (values[place - 1] > found[place]) found[place] = values[place - 1];
      if (values[place] > found[place - 1]) found[place - 1] = values[place];
    }
  }
  return found;
}

/**
 * Return averages of neighbours along lines; beyond its ends, a line goes on with its last values.
 *
 * @param {Float32Array} values
 * @param {number} length of a line
 * @param {number} lines
 * @param {number} step from a value of a line to the next
 * @param {number} apart from a line to the next
 * @param {number} reach
 * @returns {Float32Array<ArrayBuffer>}
 */
function averaged(values, length, lines, step, apart, reach) {
  const found = new Float32Array(values.length);
  const last = length - 1;
  for (let line = 0; line < lines; line++) {
    const start = line * apart;
    let sum = values[start] * (reach + 1);
    for (let place = 1; place <= reach; place++) {
      sum += values[start + Math.min(place, last) * step];
    }
    for (let place = 0; place < length; place++) {
      found[start + place * step] = sum / (2 * reach + 1);
      const enters = Math.min(place + reach + 1, last);
      const leaves = Math.max(place - reach, 0);
      sum += values[start + enters * step] - values[start + leaves * step];
    }
  }
  return found;
}
