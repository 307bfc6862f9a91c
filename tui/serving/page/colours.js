"use strict";

// The colours of the page around the app, which tells the terminal its background.

document.addEventListener("terminal-made", () => {
  const viewport = document.querySelector(".xterm-viewport");
  const follow = () => {
    const colour = viewport.style.backgroundColor;
    const parts = colour.match(/\d+/g).map(Number); // red, green, blue
    document.documentElement.style.setProperty("--background", colour);
    document.documentElement.classList.toggle("-light", parts[0] + parts[1] + parts[2] > 382);
  };
  new MutationObserver(follow).observe(viewport, { attributeFilter: ["style"] });
});
