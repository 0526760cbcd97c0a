// Waits for a decision: asks how the plan stands, and shows the page anew when it stands differently. Never while the
// reader looks elsewhere, and less often with time.

const QUICKEST = 1000;
const SLOWEST = 30000;
const script = document.querySelector("script[data-mark]");
let pause = QUICKEST;

async function look() {
  if (document.visibilityState === "visible") {
    try {
      const answer = await fetch("/plans/standing", { redirect: "error", headers: { accept: "application/json" } });
      if (answer.ok && (await answer.json()).mark !== script.dataset.mark) {
        location.replace("/plans");
        return;
      }
    } catch {
      // Away for the moment: the next look may find more.
    }
    pause = Math.min(pause * 1.1, SLOWEST);
  }
  setTimeout(look, pause);
}

document.addEventListener("visibilitychange", () => {
  pause = QUICKEST;
});
setTimeout(look, pause);
