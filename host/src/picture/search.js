const field = document.querySelector("input");
const count = document.querySelector("output");
const picture = document.querySelector("svg");
const revisions = [...document.querySelectorAll(".revision")].map((element) => {
  return { element, text: element.textContent.toLowerCase() };
});
let hits = [];
let here = -1;

function show(index) {
  hits[here]?.element.classList.remove("here");
  here = index;
  hits[here].element.classList.add("here");
  hits[here].element.scrollIntoView({ block: "center", inline: "nearest" });
  count.value = `${here + 1} of ${hits.length}`;
}

function search() {
  const wanted = field.value.trim().toLowerCase();
  hits = wanted ? revisions.filter(({ text }) => text.includes(wanted)) : [];
  here = -1;
  for (const { element } of revisions) element.classList.remove("hit", "here");
  for (const { element } of hits) element.classList.add("hit");
  picture.classList.toggle("searched", wanted !== "");
  count.value = wanted ? `${hits.length} found` : `${revisions.length} revisions`;
}

field.addEventListener("input", search);
field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || hits.length === 0) return;
  event.preventDefault();
  const step = event.shiftKey ? -1 : 1;
  show(here < 0 && step < 0 ? hits.length - 1 : (here + step + hits.length) % hits.length);
});
search();
