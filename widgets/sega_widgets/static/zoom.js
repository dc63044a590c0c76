// Where an image is in its place, as pure functions of a view.

/**
 * @typedef {{ width: number, height: number }} Size
 * @typedef {{ x: number, y: number }} Point
 * @typedef {Point & Size} Box
 *
 * What is seen of an image: how many times larger it is than where it just fits into its place,
 * and the point of the image in the middle of the place, in shares of its width and height.
 * @typedef {Point & { zoom: number }} View
 */

/** The largest scale, in pixels of the page a pixel of the image, where the image fits at less. */
const MAX_SCALE = 16;
const MAX_ZOOM = 8;

/** @type {View} */
export const FIT = { zoom: 1, x: 0.5, y: 0.5 };

/**
 * Return how many pixels of the page a pixel of the image has where the image just fits.
 *
 * @param {Size} image
 * @param {Size} place
 */
export function fitScale(image, place) {
  return Math.min(place.width / image.width, place.height / image.height);
}

/**
 * Return where the whole image is in its place.
 *
 * @param {View} view
 * @param {Size} image
 * @param {Size} place
 * @returns {Box}
 */
export function boxOf(view, image, place) {
  const scale = fitScale(image, place) * view.zoom;
  const width = image.width * scale;
  const height = image.height * scale;
  const x = place.width / 2 - view.x * width;
  const y = place.height / 2 - view.y * height;
  return { x, y, width, height };
}

/**
 * Return the part of a box that is inside its place.
 *
 * @param {Box} box
 * @param {Size} place
 * @returns {Box}
 */
export function seenOf(box, place) {
  const x = Math.max(0, box.x);
  const y = Math.max(0, box.y);
  return {
    x,
    y,
    width: Math.min(place.width, box.x + box.width) - x,
    height: Math.min(place.height, box.y + box.height) - y,
  };
}

/**
 * Return a view with another zoom; the point of the image at a point of the place stays there.
 *
 * @param {View} view
 * @param {number} zoom
 * @param {Point} point
 * @param {Size} image
 * @param {Size} place
 * @returns {View}
 */
export function zoomAt(view, zoom, point, image, place) {
  const highest = Math.max(MAX_ZOOM, MAX_SCALE / fitScale(image, place));
  const next = Math.min(highest, Math.max(1, zoom));
  const before = boxOf(view, image, place);
  const after = boxOf({ ...view, zoom: next }, image, place);
  const x = (point.x - before.x) / before.width - (point.x - place.width / 2) / after.width;
  const y = (point.y - before.y) / before.height - (point.y - place.height / 2) / after.height;
  return confine({ zoom: next, x, y }, image, place);
}

/**
 * Return a view whose image is moved by some pixels of the page.
 *
 * @param {View} view
 * @param {Point} by
 * @param {Size} image
 * @param {Size} place
 * @returns {View}
 */
export function panBy(view, by, image, place) {
  const { width, height } = boxOf(view, image, place);
  return confine({ ...view, x: view.x - by.x / width, y: view.y - by.y / height }, image, place);
}

/**
 * Return a view that leaves no room beside the image where the image could fill it.
 *
 * @param {View} view
 * @param {Size} image
 * @param {Size} place
 * @returns {View}
 */
export function confine(view, image, place) {
  const { width, height } = boxOf(view, image, place);
  return {
    zoom: view.zoom,
    x: confineShare(view.x, place.width / width / 2),
    y: confineShare(view.y, place.height / height / 2),
  };
}

/**
 * @param {number} share
 * @param {number} half half of what is seen, as a share
 */
function confineShare(share, half) {
  return half >= 0.5 ? 0.5 : Math.min(1 - half, Math.max(half, share));
}

/**
 * Return the zoom to change to from the whole image: 100%, or twice as large if that is smaller.
 *
 * @param {Size} image
 * @param {Size} place
 */
export function closeZoom(image, place) {
  const full = 1 / fitScale(image, place);
  return full > 1.05 ? full : 2;
}

/**
 * Return the columns and the size of the tiles that show equal images as large as possible.
 *
 * @param {number} count
 * @param {Size} image
 * @param {Size} place
 * @param {number} gap
 * @returns {Size & { columns: number }}
 */
export function tile(count, image, place, gap) {
  let best = { columns: 1, width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const cell = {
      width: (place.width - gap * (columns - 1)) / columns,
      height: (place.height - gap * (rows - 1)) / rows,
    };
    const width = Math.floor(image.width * fitScale(image, cell));
    const height = Math.floor(image.height * fitScale(image, cell));
    if (width >= best.width) best = { columns, width, height };
  }
  return best;
}

/**
 * Return the share of the whole image that is left of a handle on what is seen of it.
 *
 * @param {number} position the handle's, from 0 at the left end to 1
 * @param {Box} box
 * @param {Box} seen
 */
export function shareAt(position, box, seen) {
  return (seen.x + position * seen.width - box.x) / box.width;
}
