"use strict";

// What a touch screen lacks: the keys that a phone's keyboard does not have, and a wheel.

const KEYS = {
  esc: "\x1b",
  tab: "\t",
  enter: "\r",
  space: " ",
  help: "?",
  left: "\x1b[D",
  up: "\x1b[A",
  down: "\x1b[B",
  right: "\x1b[C",
};

document.addEventListener("DOMContentLoaded", () => {
  const bar = document.getElementById("bar");
  bar.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus
  bar.addEventListener("click", (event) => {
    const key = KEYS[event.target.dataset.key];
    if (key) {
      connection.send(JSON.stringify(["stdin", key]));
    }
  });
  addLetters();
  addWheel();
});

// A phone's keyboard would open whenever the app is touched; it opens only by its button.
function addLetters() {
  const letters = document.getElementById("letters");
  const set = (wanted) => {
    input().inputMode = wanted ? "text" : "none";
    letters.setAttribute("aria-pressed", wanted);
  };
  letters.addEventListener("click", () => {
    const wanted = input().inputMode === "none";
    input().blur();
    set(wanted);
    input().focus();
  });
  document.addEventListener("terminal-made", () => {
    if (matchMedia("(pointer: coarse)").matches) {
      set(false);
      input().addEventListener("blur", () => set(false));
    }
  });
}

function input() {
  return document.querySelector(".xterm-helper-textarea");
}

// A finger that moves up or down by a line turns the wheel by a line.
function addWheel() {
  const terminal = document.getElementById("terminal");
  let from = 0;
  terminal.addEventListener("touchstart", (event) => (from = event.touches[0].clientY));
  terminal.addEventListener("touchmove", (event) => {
    const { clientX, clientY } = event.touches[0];
    const lines = Math.trunc((clientY - from) / (1.3 * shown));
    if (event.touches.length > 1 || lines === 0) {
      return;
    }
    from = clientY;
    const place = { clientX, clientY, bubbles: true, cancelable: true };
    const turn = { deltaMode: WheelEvent.DOM_DELTA_LINE, deltaY: -Math.sign(lines), ...place };
    for (let line = 0; line < Math.abs(lines); line += 1) {
      event.target.dispatchEvent(new WheelEvent("wheel", turn));
    }
  });
}
