"use strict";
// Documents of one model at several sizes or steps, and the map of devices.

const numberOf = (count, noun) => `${FORMATS.whole(count)} ${noun}${count === 1 ? "" : "s"}`;

// From 0 on, with round numbers of bytes; logarithmic where the values are far apart.
function valueAxis(colors, kind, values) {
  const found = values.filter((value) => value > 0),
    most = Math.max(...found);
  if (found.length && most / Math.min(...found) > 50) return logAxis(colors, "", FORMATS[kind], found);
  const step = 2 ** Math.ceil(Math.log2(most / 6));
  return axis(colors, {
    type: "value",
    min: 0,
    ...(kind === "bytes" && found.length ? {interval: step, max: step * Math.ceil(most / step)} : {}),
    axisLabel: {formatter: FORMATS[kind], hideOverlap: true},
  });
}

// Lines over the first axis of a sweep, one for each combination of the other sizes (and device).
function showSweep() {
  const {dims, shapes, points} = doc.sweep;
  const text = (size) => (Array.isArray(size) ? size.join("×") : String(size));
  const axes = [
    ...Object.entries(dims).map(([name, sizes]) => ({name, sizes, of: (point) => point.dims[name]})),
    ...Object.entries(shapes).map(([name, sizes]) => ({name, sizes, of: (point) => point.shapes[name]})),
  ];
  const devices = [...new Set(points.flatMap((point) => point.devices.map((device) => device.device)))];
  const on = (point, device) => point.devices.find((each) => each.device === device);
  const middle = (range) => (range ? Math.sqrt(range.low * range.high) : null);
  const isTimed = points.some((point) => point.measurement?.status === "ok");
  const timed = (point) => (point.measurement?.status === "ok" ? point.measurement : null);
  const counted = [
    {title: "FLOPs", kind: "count", of: (point) => point.flops},
    {title: "MACs", kind: "count", of: (point) => point.macs},
    {title: "Peak activation memory", kind: "bytes", of: (point) => point.peak_activation_bytes},
    {title: "Memory traffic", kind: "bytes", of: (point) => (point.flops === null ? null : traffic(point))},
  ];
  const measured = [
    {title: "Items per second", kind: "number", of: (point) => timed(point)?.fps ?? null},
    {title: "Latency", kind: "seconds", of: (point) => timed(point)?.latency.median ?? null},
    {title: "Memory of the process", kind: "bytes", of: (point) => timed(point)?.peak_rss_bytes ?? null},
  ];
  const predicted = [
    {title: "Items per second", kind: "number", of: (point, device) => middle(on(point, device)?.fps), ranged: "fps"},
    {title: "Latency", kind: "seconds", of: (point, device) => middle(on(point, device)?.latency), ranged: "latency"},
    {
      title: "Memory on the device",
      kind: "bytes",
      of: (point, device) => on(point, device)?.memory?.[0]?.needed_bytes ?? null,
    },
  ];
  const metrics = devices.length ? [...predicted, ...counted] : [...(isTimed ? measured : []), ...counted];
  let metric = metrics[0],
    along = axes[0],
    made = null;
  const into = section("Over the sizes");
  const others = () => axes.filter((axis) => axis !== along);
  function lines() {
    const found = new Map();
    for (const device of metric.of.length > 1 ? devices : [""]) {
      for (const point of points) {
        const name = [device, ...others().map((axis) => `${axis.name} = ${text(axis.of(point))}`)]
          .filter(Boolean)
          .join(", ");
        if (!found.has(name)) found.set(name, []);
        found.get(name).push({point, device, value: metric.of(point, device)});
      }
    }
    return [...found.entries()];
  }
  const option = (colors) => {
    const shown = lines(),
      places = along.sizes.map(text);
    return {
      grid: {left: 70, right: 24, top: shown.length > 1 ? 40 : 16, bottom: 48},
      legend: shown.length > 1 ? {type: "scroll", top: 0, textStyle: {color: colors.text}} : undefined,
      xAxis: axis(colors, {type: "category", name: plain(along.name), nameLocation: "middle", nameGap: 28, data: places}),
      yAxis: valueAxis(
        colors,
        metric.kind,
        shown.flatMap(([, each]) => each.map(({value}) => value)),
      ),
      tooltip: tooltip(colors, (item) => {
        const {point, device, value} = shown[item.seriesIndex][1].find(
          (each) => text(along.of(each.point)) === places[item.dataIndex],
        );
        const range = metric.ranged && on(point, device)?.[metric.ranged];
        return [
          [device, ...axes.map((axis) => `${axis.name} = ${text(axis.of(point))}`)].filter(Boolean).join(", "),
          range
            ? `${FORMATS[metric.kind](range.low)} to ${FORMATS[metric.kind](range.high)} (${range.basis})`
            : FORMATS[metric.kind](value),
        ];
      }),
      series: shown.map(([name, each], at) => ({
        type: "line",
        name: plain(name || metric.title),
        symbol: ["circle", "triangle", "rect", "diamond"][at % 4],
        symbolSize: 9,
        lineStyle: {type: ["solid", "dashed", "dotted"][at % 3]},
        data: places.map((place) => each.find(({point}) => text(along.of(point)) === place)?.value ?? null),
      })),
    };
  };
  const says = () =>
    `${metric.title} over ${along.name}${metric.ranged ? ", the middle of each estimated range" : ""}. Gaps are sizes that the model cannot have, or that have no figures.`;
  into.append(
    el(
      "div",
      {class: "controls"},
      metricChoice(metrics, (chosen) => {
        metric = chosen;
        redraw(made, plain(says()));
      }),
      axes.length > 1
        ? choice(
            "Over",
            axes.map((axis, at) => [at, axis.name]),
            (at) => {
              along = axes[at];
              redraw(made, plain(says()));
            },
          )
        : null,
    ),
  );
  const sizes = axes.map((axis) => ({
    title: axis.name,
    of: (row) => (shapes[axis.name] ? text(axis.of(row.point ?? row)) : axis.of(row.point ?? row)),
    kind: shapes[axis.name] ? "text" : "whole",
  }));
  made = chart(into, {
    title: "Over the sizes",
    note: plain(says()),
    option,
    height: "24rem",
    rows: () => lines().flatMap(([, each]) => each),
    columns: [{title: "Device", key: "device"}, ...sizes, {title: "Value", of: (row) => FORMATS[metric.kind](row.value)}],
  });
  const best = doc.sweep.best.filter(() => new Set(points.map((point) => point.batch)).size > 1);
  if (best.length) {
    section(
      "Best batches",
      el("p", {class: "faint"}, "The smallest batch with at least 95 % of the most items per second."),
      plainTable(
        [
          {title: "Device", of: (row) => row.device ?? "this machine"},
          ...axes.map((axis) => ({title: axis.name, of: (row) => text(axis.of(row))})),
        ],
        best,
      ),
    );
  }
  const rows = devices.length
    ? devices.flatMap((device) => points.map((point) => ({...point, point, device})))
    : points.map((point) => ({...point, point, device: ""}));
  bigTable(
    section("Points"),
    [
      ...(devices.length ? [{title: "Device", key: "device"}] : []),
      ...sizes,
      ...(devices.length ? [{title: "Verdict", of: (row) => on(row.point, row.device)?.level ?? ""}] : []),
      ...metrics.map((each) => ({title: each.title, of: (row) => each.of(row.point, row.device), kind: each.kind})),
      {title: "Status", key: "status"},
      {title: "Reason", of: (row) => row.reason ?? row.measurement?.reason ?? ""},
    ],
    rows,
    {label: "points", filter: devices.length ? {title: "Device", key: "device"} : {title: "Status", key: "status"}},
  );
}

// Memory and speed over the context, and the bytes of prefill and decode by part.
function showLanguage() {
  const {llm} = doc;
  const range = (value) => (value ? `${FORMATS.number(value.low)} to ${FORMATS.number(value.high)}` : "unknown");
  main.append(
    cards([
      ["Parameters", FORMATS.count(llm.parameters), FORMATS.whole(llm.parameters), llm.parameters],
      llm.active_parameters === llm.parameters
        ? null
        : ["Active parameters", FORMATS.count(llm.active_parameters), "of one token", llm.active_parameters],
      ["Cache of a token", FORMATS.bytes(llm.kv_bytes_per_token), "keys and values", llm.kv_bytes_per_token],
      ["Cache of a sequence", FORMATS.bytes(llm.kv_bytes), `${FORMATS.whole(llm.context)} positions`, llm.kv_bytes],
      ["Memory", FORMATS.bytes(llm.memory.total), numberOf(llm.batch, "sequence"), llm.memory.total],
      llm.most_context === null
        ? null
        : ["Longest context that fits", FORMATS.whole(llm.most_context), FORMATS.bytes(llm.available_bytes), llm.most_context],
      llm.most_batch === null
        ? null
        : ["Largest batch that fits", FORMATS.whole(llm.most_batch), FORMATS.bytes(llm.available_bytes), llm.most_batch],
    ]),
  );
  for (const note of llm.notes) main.append(el("p", {class: "faint"}, plain(note)));
  const phases = ["prefill", "decode"].filter((name) => llm[name]).map((name) => ({name, ...llm[name]}));
  const parts = [
    {title: "Weights read", of: (row) => row.weight_bytes_read},
    {title: "Cache read", of: (row) => row.kv_bytes_read},
    {title: "Cache written", of: (row) => row.kv_bytes_written},
    {title: "States", of: (row) => 2 * row.state_bytes},
  ].filter((part) => phases.some(part.of));
  const moved = (row) => total(parts, (part) => part.of(row));
  chart(section("Bytes of a step"), {
    title: "Bytes of prefill and decode by part",
    note: phases
      .map(
        (row) =>
          `${row.name} of ${numberOf(row.new_tokens, "token")}: ${FORMATS.bytes(moved(row))}, ${FORMATS.count(row.flops)} FLOPs`,
      )
      .join("; "),
    height: `${phases.length * 3.4 + 6}rem`,
    rows: () => phases,
    columns: [
      {title: "Step", key: "name"},
      ...parts.map((part) => ({...part, kind: "bytes"})),
      {title: "FLOPs", key: "flops", kind: "count"},
    ],
    option: (colors) => ({
      grid: {left: 8, right: 30, top: 36, bottom: 8, containLabel: true},
      legend: {top: 0, textStyle: {color: colors.text}},
      xAxis: valueAxis(colors, "bytes", [Math.max(...phases.map(moved))]),
      yAxis: axis(colors, {type: "category", inverse: true, data: phases.map((row) => row.name)}),
      aria: {enabled: true, label: {enabled: false}, decal: {show: true}},
      tooltip: tooltip(colors, (point) => [`${point.name}: ${point.seriesName}`, FORMATS.bytes(point.value)]),
      series: parts.map((part) => ({
        type: "bar",
        stack: "bytes",
        name: part.title,
        barMaxWidth: 30,
        data: phases.map(part.of),
      })),
    }),
  });
  const steps = extra.contexts ?? [];
  if (steps.length > 1) overContext(steps);
  if (llm.devices.length) {
    bigTable(
      section("Devices"),
      [
        {title: "Device", key: "device"},
        {title: "Batch", key: "batch", kind: "whole"},
        {title: "First token, s", of: (row) => range(row.ttft)},
        {title: "Tokens/s of a sequence", of: (row) => range(row.tokens_per_second)},
        {title: "At most", of: (row) => row.tokens_per_second_bound?.at_most ?? null, kind: "number"},
        {title: "Tokens/s of all", of: (row) => range(row.throughput)},
        {title: "Limited by", key: "limit"},
      ],
      llm.devices,
      {label: "devices", filter: {title: "Device", key: "device"}},
    );
  }
  if (doc.generation) showAny({generation: doc.generation});
}

function overContext(steps) {
  const names = ["weights", "cache", "copied", "activations"].filter((name) => steps.some((step) => step.memory[name]));
  const title = (name) => (name === "copied" ? "copy of the cache" : name);
  const xAxis = (colors) => ({
    ...logAxis(
      colors,
      "context, positions in the cache",
      FORMATS.whole,
      steps.map((step) => step.context),
    ),
    min: steps[0].context,
    max: steps.at(-1).context,
    logBase: 2,
  });
  const columns = [
    {title: "Context", key: "context", kind: "whole"},
    ...names.map((name) => ({title: title(name), of: (row) => row.memory[name], kind: "bytes"})),
  ];
  chart(section("Memory over the context"), {
    title: "Memory over the context",
    note: `With ${numberOf(doc.llm.batch, "sequence")}; both the cache and what a step copies of it grow with the context.`,
    height: "22rem",
    rows: () => steps,
    columns,
    option: (colors) => ({
      grid: {left: 80, right: 30, top: 36, bottom: 48},
      legend: {top: 0, textStyle: {color: colors.text}},
      xAxis: xAxis(colors),
      yAxis: valueAxis(colors, "bytes", [Math.max(...steps.map((step) => step.memory.total))]),
      aria: {enabled: true, label: {enabled: false}, decal: {show: true}},
      tooltip: tooltip(colors, (point) => [
        `${FORMATS.whole(point.value[0])} positions: ${point.seriesName}`,
        FORMATS.bytes(point.value[1]),
      ]),
      series: names.map((name) => ({
        type: "line",
        stack: "memory",
        name: title(name),
        areaStyle: {opacity: 0.5},
        symbolSize: 6,
        data: steps.map((step) => [step.context, step.memory[name]]),
      })),
    }),
  });
  const devices = [...new Set(steps.flatMap((step) => step.devices.map((each) => each.device)))];
  if (!devices.length) return;
  const speed = (step, name) => step.devices.find((each) => each.device === name)?.tokens_per_second;
  const known = devices.filter((name) => steps.some((step) => speed(step, name)));
  if (!known.length) return;
  chart(section("Tokens per second over the context"), {
    title: "Tokens per second over the context",
    note: "Of one sequence; a line is the middle of the estimated range, which the pointer shows. Both axes are logarithmic.",
    height: "24rem",
    rows: () => known.flatMap((device) => steps.map((step) => ({device, ...step}))),
    columns: [
      {title: "Device", key: "device"},
      {title: "Context", key: "context", kind: "whole"},
      {title: "From", of: (row) => speed(row, row.device)?.low ?? null, kind: "number"},
      {title: "To", of: (row) => speed(row, row.device)?.high ?? null, kind: "number"},
    ],
    option: (colors) => ({
      grid: {left: 70, right: 30, top: 36, bottom: 48},
      legend: {top: 0, textStyle: {color: colors.text}},
      xAxis: xAxis(colors),
      yAxis: logAxis(
        colors,
        "",
        FORMATS.number,
        known.flatMap((name) => steps.flatMap((step) => [speed(step, name)?.low, speed(step, name)?.high])),
      ),
      tooltip: tooltip(colors, (point) => {
        const found = speed(steps[point.dataIndex], known[point.seriesIndex]);
        return [
          `${point.seriesName}, ${FORMATS.whole(steps[point.dataIndex].context)} positions`,
          `${FORMATS.number(found.low)} to ${FORMATS.number(found.high)} tokens/s (${found.basis})`,
        ];
      }),
      series: known.map((name, at) => ({
        type: "line",
        name: plain(name),
        symbol: ["circle", "triangle", "rect", "diamond"][at % 4],
        symbolSize: 8,
        lineStyle: {type: ["solid", "dashed", "dotted"][at % 3]},
        data: steps.map((step) => {
          const found = speed(step, name);
          return [step.context, found ? Math.sqrt(found.low * found.high) : null];
        }),
      })),
    }),
  });
}

// Peak rate over bandwidth: devices of one ratio lie on a diagonal, where a kernel of that intensity is bound by both.
function showDevices() {
  const figure = (each) => each?.value ?? null;
  const peaks = (device) => device.parts.flatMap((part) => part.peaks);
  const best = (device, dtype) => Math.max(0, ...peaks(device).filter((peak) => peak.dtype === dtype).map(figure)) || null;
  const dtypes = ["float32", "float16", "bfloat16", "int8", "int4"].filter((name) =>
    doc.devices.some((device) => best(device, name)),
  );
  const kinds = [...new Set(doc.devices.map((device) => device.kind))];
  const prices = [100, 300, 1000, 3000, 10000];
  let dtype = dtypes[0],
    kind = "",
    most = Infinity,
    made = null;
  const shown = () =>
    doc.devices.filter(
      (device) =>
        figure(device.bandwidth) &&
        best(device, dtype) &&
        (!kind || device.kind === kind) &&
        (most === Infinity || (figure(device.price) ?? Infinity) <= most),
    );
  const rate = (value) => (dtype.startsWith("int") ? FORMATS.rate(value).replace("FLOP/s", "OP/s") : FORMATS.rate(value));
  const marks = ["circle", "triangle", "rect", "diamond", "emptyCircle", "emptyTriangle", "emptyRect", "emptyDiamond"];
  const hues = COLORS.filter((color) => color !== "#f0e442"); // yellow is hard to see on white
  if (dtypes.length && shown().length > 1) {
    const into = section("Peak rate and bandwidth");
    const option = (colors) => {
      const found = shown();
      const groups = kinds.filter((name) => found.some((device) => device.kind === name));
      const ends = found.length ? found : doc.devices.filter((device) => figure(device.bandwidth) && best(device, dtype));
      return {
        grid: {left: 80, right: 24, top: 36, bottom: 48},
        legend: {type: "scroll", top: 0, textStyle: {color: colors.text}},
        xAxis: logAxis(
          colors,
          "memory bandwidth",
          FORMATS.bandwidth,
          ends.map((device) => figure(device.bandwidth)),
        ),
        yAxis: logAxis(
          colors,
          "",
          rate,
          ends.map((device) => best(device, dtype)),
        ),
        dataZoom: [
          {type: "inside", xAxisIndex: 0, zoomOnMouseWheel: "ctrl"},
          {type: "inside", yAxisIndex: 0, zoomOnMouseWheel: "ctrl"},
        ],
        tooltip: tooltip(colors, (point) => {
          const device = found.filter((each) => each.kind === point.seriesName)[point.dataIndex];
          return [
            device.title,
            `${rate(point.value[1])} in ${dtype}, ${FORMATS.bandwidth(point.value[0])}`,
            `${FORMATS.number(point.value[1] / point.value[0])} operations a byte`,
            [
              device.memory ? FORMATS.bytes(figure(device.memory)) : "",
              device.power ? `${FORMATS.number(figure(device.power))} W` : "",
              device.price ? FORMATS.dollars(figure(device.price)) : "",
            ]
              .filter(Boolean)
              .join(", "),
          ];
        }),
        series: groups.map((name) => ({
          type: "scatter",
          name,
          symbol: marks[kinds.indexOf(name) % marks.length],
          symbolSize: 11,
          itemStyle: {opacity: 0.8, color: hues[kinds.indexOf(name) % hues.length]},
          data: found
            .filter((device) => device.kind === name)
            .map((device) => [figure(device.bandwidth), best(device, dtype)]),
        })),
      };
    };
    const says = () =>
      `${shown().length} of ${doc.devices.length} devices have both figures and match. Both axes are logarithmic; up and to the right is faster. Hold Ctrl and turn the wheel to zoom.`;
    const again = () => redraw(made, says());
    into.append(
      el(
        "div",
        {class: "controls"},
        choice(
          "Type",
          dtypes.map((name) => [name, name]),
          (name) => {
            dtype = name;
            again();
          },
        ),
        choice("Kind", [["", "all"], ...kinds.map((name) => [name, name])], (name) => {
          kind = name;
          again();
        }),
        choice("Price", [["", "any"], ...prices.map((price) => [price, `up to ${FORMATS.dollars(price)}`])], (price) => {
          most = price ? Number(price) : Infinity;
          again();
        }),
      ),
    );
    made = chart(into, {
      title: "Peak rate and bandwidth",
      note: says(),
      option,
      rows: shown,
      height: "30rem",
      columns: [
        {title: "Device", key: "title"},
        {title: "Peak", of: (device) => rate(best(device, dtype))},
        {title: "Bandwidth", of: (device) => figure(device.bandwidth), kind: "bandwidth"},
      ],
    });
  }
  bigTable(
    section("Devices"),
    [
      {title: "Device", key: "title"},
      {title: "Name", key: "name"},
      {title: "Kind", key: "kind"},
      ...dtypes.map((name) => ({title: name, of: (device) => best(device, name), kind: "rate"})),
      {title: "Bandwidth", of: (device) => figure(device.bandwidth), kind: "bandwidth"},
      {title: "Memory", of: (device) => figure(device.memory), kind: "bytes"},
      {title: "Power (W)", of: (device) => figure(device.power), kind: "number"},
      {title: "Price", of: (device) => figure(device.price), kind: "dollars"},
    ],
    doc.devices,
    {label: "devices", filter: {title: "Kind", key: "kind"}},
  );
}
