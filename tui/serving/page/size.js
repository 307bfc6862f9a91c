"use strict";

// The size of the text: the chosen one, or the largest with which the app still has room.

const COLUMNS = 60; // that the app needs
const ROWS = 20;
const SIZES = { smallest: 6, largest: 64 }; // px
const FONT = '"Roboto Mono", Monaco, "Courier New", monospace'; // that of textual.js

let options; // of the terminal, which textual.js keeps to itself
let chosen; // px
let shown; // px

// Calls textual.js, which makes the terminal, and keeps the terminal's options.
function keepOptions(make) {
  const define = Object.defineProperty;
  Object.defineProperty = (target, name, property) => {
    if (name === "fontSize") {
      options = target;
    }
    return define(target, name, property);
  };
  try {
    make();
  } finally {
    Object.defineProperty = define;
  }
}

// Whether the app has room with text of a size. The terminal rounds its cells in the same way. It
// also rounds its whole width and height, for which a pixel is left unless a cell has whole ones.
function fits(size) {
  const pen = fits.pen ?? (fits.pen = document.createElement("canvas").getContext("2d"));
  pen.font = `${size}px ${FONT}`;
  const letter = pen.measureText("W");
  const height = letter.fontBoundingBoxAscent + letter.fontBoundingBoxDescent;
  const [column, row] = [
    Math.floor(letter.width * devicePixelRatio) / devicePixelRatio,
    Math.ceil(height * devicePixelRatio) / devicePixelRatio,
  ];
  const needed = (cells, cell) => cells * cell + (Number.isInteger(cell) ? 0 : 1);
  const room = document.getElementById("terminal");
  return needed(COLUMNS, column) <= room.clientWidth && needed(ROWS, row) <= room.clientHeight;
}

// Takes the part of the window above a phone's keyboard, and returns the size that fits into it.
function layOut() {
  const { height, offsetTop, scale } = window.visualViewport;
  if (scale === 1) { // else somebody looks at a detail
    document.body.style.height = `${height}px`;
    document.body.style.top = `${offsetTop}px`;
  }
  shown = chosen;
  while (shown > SIZES.smallest && !fits(shown)) {
    shown -= 0.5;
  }
  document.getElementById("size").textContent = shown;
  document.getElementById("smaller").disabled = shown <= SIZES.smallest;
  document.getElementById("larger").disabled = shown < chosen || shown >= SIZES.largest;
  return shown;
}

document.addEventListener("DOMContentLoaded", () => {
  const terminal = document.getElementById("terminal");
  const first = Number(terminal.dataset.fontSize); // of jmlp serve --font-size
  const key = `size of text, at first ${first}`;
  chosen = Number(localStorage.getItem(key)) || first;

  const open = window.onload;
  window.onload = async (event) => {
    // The terminal measures its cells when it opens, so the fonts must be loaded first.
    const fonts = ["", "bold ", "italic "].map((style) => `${style}16px "Roboto Mono"`);
    // It draws each glyph once, so that of braille must be there too.
    await Promise.allSettled(fonts.map((font) => document.fonts.load(font, "W\u2801")));
    terminal.dataset.fontSize = layOut();
    keepOptions(() => open(event));
    document.dispatchEvent(new Event("terminal-made"));
    const fit = window.onresize;
    const refit = () => {
      options.fontSize = layOut();
      fit();
    };
    window.onresize = refit;
    window.visualViewport.addEventListener("resize", refit);
    window.visualViewport.addEventListener("scroll", refit);

    const choose = (size) => {
      chosen = Math.min(Math.max(size, SIZES.smallest), SIZES.largest);
      localStorage.setItem(key, chosen);
      refit();
    };
    const changes = {
      "-": () => choose(Math.ceil(shown) - (shown > 16 ? 2 : 1)),
      "+": () => choose(shown < chosen ? chosen : shown + (shown < 16 ? 1 : 2)),
      0: () => choose(first),
    };
    document.getElementById("smaller").addEventListener("click", changes["-"]);
    document.getElementById("larger").addEventListener("click", changes["+"]);
    window.addEventListener(
      "keydown",
      (pressed) => {
        const change = changes[pressed.key === "=" ? "+" : pressed.key];
        if (change && (pressed.ctrlKey || pressed.metaKey) && !pressed.altKey) {
          pressed.preventDefault();
          pressed.stopPropagation();
          change();
        }
      },
      { capture: true },
    );
  };
});
