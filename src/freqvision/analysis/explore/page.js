// Runs for the boards and for the pictures; `element` and `trigger` are Gradio's.
const on = (cell) => cell.getAttribute("aria-pressed") === "true";
const cells = () => [...element.querySelectorAll(".cell")];
let state = null; // what a drag paints: kept or not
let last = null;
let changed = false;

function paint(cell, kept) {
  if (on(cell) === kept) return;
  cell.setAttribute("aria-pressed", kept);
  changed = true;
}

// A fast pointer skips cells: those on the way are painted too.
function drag(cell) {
  const [from, to] = [last, cell].map((each) => +each.dataset.index);
  const steps = Math.floor(from / 64) === Math.floor(to / 64) ? Math.max(
    Math.abs((from >> 3) - (to >> 3)), Math.abs((from & 7) - (to & 7))) : 0;
  const all = cells();
  for (let step = 1; step <= steps; step++) {
    const between = (a, b) => Math.round(a + ((b - a) * step) / steps);
    paint(all[8 * between(from >> 3, to >> 3) + between(from & 7, to & 7)], state);
  }
  paint(cell, state);
  last = cell;
}

function commit() {
  state = null;
  if (!changed) return;
  changed = false;
  for (const group of element.querySelectorAll("[role=group]")) {
    const small = group.querySelector("small");
    if (small) small.textContent = [...group.querySelectorAll(".cell")].filter(on).length;
  }
  trigger("input", { kept: cells().filter(on).map((cell) => +cell.dataset.index) });
}

function focus(cell) {
  for (const other of cells()) other.tabIndex = other === cell ? 0 : -1;
  cell.focus();
}

element.addEventListener("pointerdown", (event) => {
  const cell = event.target.closest(".cell");
  if (!cell || event.button || event.pointerType === "touch") return; // a finger scrolls, and taps
  event.preventDefault();
  focus(cell);
  state = !on(cell);
  last = cell;
  paint(cell, state);
});
element.addEventListener("pointerover", (event) => {
  const cell = event.target.closest(".cell");
  if (cell && state !== null) drag(cell);
});
window.addEventListener("pointerup", commit);

element.addEventListener("click", (event) => {
  const cell = event.target.closest(".cell");
  const view = event.target.closest("[data-view]");
  const grid = event.target.closest(".grid");
  if (view) element.classList.toggle("heat", view.dataset.view === "heat");
  if (cell && !["mouse", "pen"].includes(event.pointerType)) {
    paint(cell, !on(cell)); // by touch, or by Enter or the space bar
    commit();
  }
  if (grid) {
    const box = grid.getBoundingClientRect();
    const style = getComputedStyle(grid);
    const place = (share, count) => Math.floor(share * +style.getPropertyValue(count));
    choose(grid, place((event.clientY - box.top) / box.height, "--down"),
      place((event.clientX - box.left) / box.width, "--across"));
  }
});

function choose(grid, row, column) {
  row = Math.min(Math.max(row, 0), grid.dataset.rows - 1);
  column = Math.min(Math.max(column, 0), grid.dataset.columns - 1);
  grid.style.setProperty("--row", row);
  grid.style.setProperty("--column", column);
  trigger("select", { block: [row, column] });
}

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
element.addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key];
  const cell = event.target.closest(".cell");
  const grid = event.target.closest(".grid");
  if (!arrow || !(cell || grid)) return;
  event.preventDefault();
  if (grid) {
    const now = (name) => +grid.style.getPropertyValue(name);
    choose(grid, now("--row") + arrow[0], now("--column") + arrow[1]);
    return;
  }
  const index = +cell.dataset.index;
  let [board, u, v] = [index >> 6, ((index >> 3) & 7) + arrow[0], (index & 7) + arrow[1]];
  if (v < 0 || v > 7) [board, v] = [board + arrow[1], v & 7]; // to the next board
  if (u < 0 || u > 7 || board < 0 || board > 2) return;
  const next = cells()[64 * board + 8 * u + v];
  focus(next);
  if (event.shiftKey) {
    paint(next, on(cell));
    commit();
  }
});
