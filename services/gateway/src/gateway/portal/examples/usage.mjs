const answer = await fetch("{{ base_url }}/usage", {
  headers: { Authorization: `Bearer ${process.env.SMARTROUTE_TOKEN}` },
});
const { plan, daily, monthly } = await answer.json();
console.log(plan, daily.remaining, "today,", monthly.remaining, "this month");
