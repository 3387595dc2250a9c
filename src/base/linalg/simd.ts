// The innermost loop of matrix products with 128-bit vectors: 2 to 8 times the plain kernel's
// speed. Where the platform has none, the plain kernel stands in.

import { panelRows, plainKernel, type Kernel } from './kernel.ts'
import type { FloatArray } from './matrix.ts'
import { advance, compileLoop, pushConstant, double, get, load, repeat, reserve, set, single, store, zero, type Code, type Lanes, type LoopExports } from './wasm.ts' // prettier-ignore

const vectorsPerRow = 2
const panelBytes = 16 * vectorsPerRow

// Parameters and locals of the loop, by number. `rowBytes`, `stepBytes` and `strideBytes` are the
// layout's in bytes.
// prettier-ignore
const left = 0, right = 1, out = 2, depth = 3, panels = 4, rowBytes = 5, stepBytes = 6, strideBytes = 7, parameters = 8
const steps = 8, b = 9, o = 10, a = 11, integers = 3 + panelRows // prettier-ignore
const bVector = parameters + integers
const factor = bVector + vectorsPerRow
const sums = factor + 1

const mapRows = <Item>(item: (row: number) => Item[]): Item[] =>
  Array.from({ length: panelRows }, (_, row) => item(row)).flat()
const mapVectors = <Item>(item: (index: number) => Item[]): Item[] =>
  Array.from({ length: vectorsPerRow }, (_, index) => item(index)).flat()
const getSumLocal = (row: number, index: number): number => sums + row * vectorsPerRow + index

/** For each panel: sums[row][column] = Σ over depth of left[row][·] · right[·][column]. */
function encodeLoop({ loadSplat, multiply, add }: Lanes): Code {
  const step = [
    ...mapVectors((index) => [...load(get(b), 16 * index), ...set(bVector + index)]),
    ...mapRows((row) => [
      ...loadSplat(get(a + row), 0), ...set(factor),
      ...mapVectors((index) => [...add(get(getSumLocal(row, index)), multiply(get(factor), get(bVector + index))), ...set(getSumLocal(row, index))]),
      ...advance(a + row, get(stepBytes)),
    ]),
    ...advance(b, get(strideBytes)),
  ] // prettier-ignore
  const panel = [
    ...get(left), ...set(a),
    ...Array.from({ length: panelRows - 1 }, (_, row) => [...get(a + row), ...get(rowBytes), 0x6a, ...set(a + row + 1)]).flat(),
    ...get(right), ...set(b), ...get(out), ...set(o), ...get(depth), ...set(steps),
    ...mapRows((row) => mapVectors((index) => [...zero, ...set(getSumLocal(row, index))])),
    ...repeat(steps, step),
    ...mapRows((row) => [...mapVectors((index) => store(get(o), get(getSumLocal(row, index)), 16 * index)), ...advance(o, get(strideBytes))]),
    ...advance(right, pushConstant(panelBytes)),
    ...advance(out, pushConstant(panelBytes)),
  ] // prettier-ignore
  return repeat(panels, panel)
}

function createLoopKernel(loop: LoopExports, { bytes }: Lanes): Kernel {
  const view = (startBytes: number, count: number): FloatArray =>
    bytes === 4
      ? new Float32Array(loop.memory.buffer, startBytes, count)
      : new Float64Array(loop.memory.buffer, startBytes, count)
  let rightStart = 0
  let stripStart = 0
  return {
    panelColumns: panelBytes / bytes,
    buffers(depthLimit, stride) {
      rightStart = depthLimit * panelRows * bytes
      stripStart = rightStart + depthLimit * stride * bytes
      reserve(loop, stripStart + panelRows * stride * bytes)
      return {
        left: view(0, depthLimit * panelRows),
        right: view(rightStart, depthLimit * stride),
        strip: view(stripStart, panelRows * stride),
      }
    },
    run(layout, first, end) {
      if (first >= end) return
      const skipped = first * panelBytes
      const row = layout.leftRow * bytes
      const step = layout.leftStep * bytes
      const stride = layout.stride * bytes
      loop.run(
        0,
        rightStart + skipped,
        stripStart + skipped,
        layout.depth,
        end - first,
        row,
        step,
        stride,
      )
    },
  }
}

function createKernel(lanes: Lanes): Kernel {
  const loop = compileLoop(
    parameters,
    integers,
    vectorsPerRow + 1 + panelRows * vectorsPerRow,
    encodeLoop(lanes),
  )
  return loop ? createLoopKernel(loop, lanes) : plainKernel
}

let kernels: { readonly f32: Kernel; readonly f64: Kernel } | undefined

/**
 * The fastest kernels there are here: f32 sums 8 columns at a time in single precision, f64 sums 4
 * in double. Made at first use.
 */
export function getFastKernels(): { readonly f32: Kernel; readonly f64: Kernel } {
  kernels ??= { f32: createKernel(single), f64: createKernel(double) }
  return kernels
}
