// What the pages use of two libraries; `npm run build` here writes onnxcost/render/assets/vendor.js and its licenses.
import * as echarts from "echarts/core";
import {BarChart, CustomChart, LineChart, ScatterChart, TreemapChart} from "echarts/charts";
import {
  AriaComponent,
  DataZoomInsideComponent,
  GridComponent,
  LegendComponent,
  MarkLineComponent,
  TooltipComponent,
} from "echarts/components";
import {CanvasRenderer, SVGRenderer} from "echarts/renderers";
import {
  FilterModule,
  FormatModule,
  ResizeColumnsModule,
  ResizeTableModule,
  SortModule,
  Tabulator,
} from "tabulator-tables";

echarts.use([
  BarChart,
  CustomChart,
  LineChart,
  ScatterChart,
  TreemapChart,
  CanvasRenderer,
  SVGRenderer,
  AriaComponent,
  DataZoomInsideComponent,
  GridComponent,
  LegendComponent,
  MarkLineComponent,
  TooltipComponent,
]);
Tabulator.registerModule([FilterModule, FormatModule, ResizeColumnsModule, ResizeTableModule, SortModule]);
Object.assign(window, {echarts, Tabulator});
