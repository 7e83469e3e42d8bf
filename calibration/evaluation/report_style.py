"""The style sheet of the HTML report: light and dark, on a screen and on paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #ffffff; --ink: #1b2430; --muted: #5d6b7c; --line: #dfe3e8; --soft: #eef1f4;
  --accent: #0b6bcb; --bar: #cfe3f7; --good: #6f8fae; --bad: #d9622b; --ok: #1c7c4a;
  --c0: #0b6bcb; --c1: #d9622b; --c2: #178a5f; --c3: #8b4fc4; --c4: #b8860b; --c5: #c2316b;
  --t0: #9fb3c8; --t1: #5b8db8; --t2: #2f6f9f; --t3: #0b4f85; --t4: #7a5aa8; --t5: #c07ab8; --t6: #d9622b;
  --t7: #e9a36a; --t8: #8a9a5b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161b; --card: #1b2129; --ink: #e6eaef; --muted: #9aa7b5; --line: #303944; --soft: #242c36;
    --accent: #6cb2f7; --bar: #24445f; --good: #7f9dbb; --bad: #f08a55; --ok: #5cc58f;
    --c0: #6cb2f7; --c1: #f08a55; --c2: #4fc796; --c3: #bd8ff0; --c4: #e0b84a; --c5: #f27aa8;
    --t0: #8296ab; --t1: #6fa3cf; --t2: #4a8fc4; --t3: #2f74b0; --t4: #a184d1; --t5: #d79acf; --t6: #f08a55;
    --t7: #f3bd8d; --t8: #aebb7c;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
header h1 { font-size: 27px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
header p { margin: 0; color: var(--muted); }
h2 { font-size: 19px; margin: 36px 0 10px; overflow-wrap: anywhere; }
h3 { font-size: 14px; margin: 0 0 6px; font-weight: 600; }
p.note { color: var(--muted); font-size: 13px; margin: 8px 2px 0; max-width: 90ch; }
nav { margin: 14px 0 0; display: flex; flex-wrap: wrap; gap: 6px; }
nav a { color: var(--accent); text-decoration: none; border: 1px solid var(--line); background: var(--card);
  border-radius: 999px; padding: 2px 12px; font-size: 13px; }
nav a:hover { border-color: var(--accent); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(215px, 1fr)); gap: 12px; margin-top: 20px; }
.tile { border-top: 4px solid var(--tone); }
.tile strong { display: block; font-size: 30px; line-height: 1.15; font-variant-numeric: tabular-nums; }
.tile small { color: var(--muted); display: block; }
.tile dl { display: grid; grid-template-columns: 1fr auto; gap: 1px 10px; margin: 10px 0 0; font-size: 13px; }
.tile dt { color: var(--muted); } .tile dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; padding: 4px 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { padding: 6px 12px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th { color: var(--muted); font-weight: 600; font-size: 12.5px; }
th.label, td.label { text-align: left; }
tbody tr:last-child td, td.class { border-bottom: 0; }
tr.group td { border-top: 2px solid var(--line); }
tbody tr.group:first-child td { border-top: 0; }
td.class { font-weight: 600; vertical-align: top; }
tr.mean td { background: var(--soft); }
td .paper { color: var(--muted); font-size: 12px; margin-left: 5px; }
td.best { font-weight: 700; }
td.metric { background: linear-gradient(var(--bar), var(--bar)) left bottom / var(--share) 3px no-repeat; }
tr.mean td.metric { background: linear-gradient(var(--bar), var(--bar)) left bottom / var(--share) 3px no-repeat,
  var(--soft); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 12px; }
svg { display: block; width: 100%; height: auto; max-width: 760px; }
.charts svg { max-width: 520px; }
svg text { fill: var(--muted); font: 10.5px system-ui, "Segoe UI", Roboto, Arial, sans-serif; }
svg text.axis { font-size: 11.5px; } svg text.name { fill: var(--ink); font-size: 12.5px; }
svg text.mark { fill: var(--ink); font-weight: 600; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .curve { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
svg .threshold { stroke: var(--ink); stroke-width: 1.6; stroke-dasharray: 5 3; }
svg .good { fill: var(--good); } svg .defective { fill: var(--bad); }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
.c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); }
.t0 { fill: var(--t0); } .t1 { fill: var(--t1); } .t2 { fill: var(--t2); } .t3 { fill: var(--t3); }
.t4 { fill: var(--t4); } .t5 { fill: var(--t5); } .t6 { fill: var(--t6); } .t7 { fill: var(--t7); }
.t8 { fill: var(--t8); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; margin: 4px 0 10px; padding: 0; }
.legend span { display: inline-flex; align-items: center; gap: 7px; }
.legend svg { width: 30px; height: 10px; }
.swatch { width: 12px; height: 12px; border-radius: 3px; background: var(--tone); display: inline-block; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 12px; margin-top: 8px; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; overflow: hidden; background: var(--card); }
figure img { display: block; width: 100%; height: auto; background: #000; }
figcaption { padding: 6px 10px; font-size: 13px; display: flex; justify-content: space-between; gap: 10px; }
figcaption > span:last-child { color: var(--muted); font-variant-numeric: tabular-nums; white-space: nowrap; }
figcaption > span:first-child { overflow-wrap: anywhere; }
.badge { border-radius: 4px; padding: 0 6px; font-weight: 600; font-size: 12px; margin-right: 6px; color: #fff;
  white-space: nowrap; }
.badge.hit { background: #1c7c4a; } .badge.miss { background: #b3261e; } .badge.false { background: #8a5a00; }
details { margin-top: 12px; } details > summary { cursor: pointer; font-weight: 600; font-size: 14px; }
section.class { margin-top: 34px; }
section.class > .card + .card { margin-top: 12px; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 0; font-size: 13.5px; }
dl.facts dt { color: var(--muted); } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 40px; color: var(--muted); font-size: 12.5px; }
@media print {
  body { background: #fff; } .card, figure { break-inside: avoid; } nav { display: none; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
""".strip()
