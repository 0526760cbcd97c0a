// The language that was chosen in one example is shown in all of them, and on the next page.

const KEY = "documentation.language";
const choices = [...document.querySelectorAll(".example input[data-language]")];

function show(language) {
  for (const choice of choices) {
    if (choice.dataset.language === language) choice.checked = true;
  }
}

let remembered = null;
try {
  remembered = localStorage.getItem(KEY);
} catch {
  // Storage is switched off: the choice holds for this page.
}
if (remembered) show(remembered);

for (const choice of choices) {
  choice.addEventListener("change", () => {
    const top = choice.getBoundingClientRect().top;
    show(choice.dataset.language);
    window.scrollBy(0, choice.getBoundingClientRect().top - top);
    try {
      localStorage.setItem(KEY, choice.dataset.language);
    } catch {
      // As above.
    }
  });
}
