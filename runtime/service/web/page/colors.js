// The scale of the heat map (runtime/verdict/heatmap.py, by test the same): a color means the same in picture and cloud.

export const SCALE_START = 0.5;
export const SCALE_END = 2.0;
const OPACITY = 0.8;
const ANCHORS = [[58, 24, 126], [132, 28, 140], [200, 44, 96], [238, 96, 44], [250, 166, 40], [255, 240, 130]];

/** Where an anomaly, as a share of the threshold, lies on the scale: 0 to 1. */
export function position(share) {
  return Math.min(1, Math.max(0, (share - SCALE_START) / (SCALE_END - SCALE_START) || 0));
}

/** The scale's color, red, green and blue from 0 to 255. */
export function scaleColor(place) {
  const at = place * (ANCHORS.length - 1);
  const low = Math.min(Math.floor(at), ANCHORS.length - 2);
  return ANCHORS[low].map((channel, index) => channel + (at - low) * (ANCHORS[low + 1][index] - channel));
}

/** How much of the gray a color covers: it fades in up to the threshold. */
export function opacity(place) {
  return OPACITY * Math.min(1, (place * (SCALE_END - SCALE_START)) / (1 - SCALE_START));
}
