// Charts of the overview, drawn from the figures that the page carries, and short times in the reader's own zone.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const short = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayName = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

for (const element of document.querySelectorAll("time[data-short]")) {
  const at = new Date(element.dateTime);
  if (!Number.isNaN(at.getTime())) {
    element.title = element.textContent;
    element.textContent = short.format(at);
  }
}
for (const element of document.querySelectorAll("[data-zone]")) {
  element.textContent = `(${zone})`;
}

function colour(name) {
  const styles = getComputedStyle(document.documentElement);
  return styles.getPropertyValue(name).trim() || styles.getPropertyValue("--muted").trim();
}

function options(hasLegend) {
  const text = { color: colour("--muted"), font: { family: getComputedStyle(document.body).fontFamily, size: 12 } };
  const axis = { stacked: true, border: { display: false } };
  return {
    responsive: true,
    maintainAspectRatio: false,
    animation: matchMedia("(prefers-reduced-motion: reduce)").matches ? false : { duration: 300 },
    interaction: { mode: "index", intersect: false },
    scales: {
      x: { ...axis, grid: { display: false }, ticks: { ...text, maxRotation: 0, autoSkipPadding: 16 } },
      y: { ...axis, beginAtZero: true, grid: { color: colour("--line") }, ticks: { ...text, precision: 0, maxTicksLimit: 6 } },
    },
    plugins: {
      legend: { display: hasLegend, position: "bottom", labels: { ...text, boxWidth: 12, boxHeight: 12 } },
      tooltip: {
        backgroundColor: colour("--text"),
        titleColor: colour("--surface"),
        bodyColor: colour("--surface"),
        filter: (item) => item.raw > 0,
      },
    },
  };
}

function draw(canvas, labels, sets, hasLegend) {
  const datasets = sets.map((set) => ({
    label: set.label,
    data: set.data,
    backgroundColor: colour(set.colour),
    maxBarThickness: 22,
    borderRadius: 2,
  }));
  return new window.Chart(canvas, { type: "bar", data: { labels, datasets }, options: options(hasLegend) });
}

function drawAll(figures) {
  const labels = figures.days.map((day) => dayName.format(new Date(`${day}T00:00:00Z`)));
  const outcomes = figures.outcomes.map((outcome) => ({
    label: outcome.title,
    data: outcome.requests,
    colour: `--outcome-${outcome.name}`,
  }));
  const prompts = [{ label: "Prompts", data: figures.prompts, colour: "--accent" }];
  return [
    draw(document.getElementById("chart-prompts"), labels, prompts, false),
    draw(document.getElementById("chart-outcomes"), labels, outcomes, true),
  ];
}

const source = document.getElementById("chart-figures");
if (source && window.Chart) {
  const figures = JSON.parse(source.textContent);
  let charts = drawAll(figures);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const chart of charts) {
      chart.destroy();
    }
    charts = drawAll(figures);
  });
}
