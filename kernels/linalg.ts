// The innermost loop of matrix products, in AssemblyScript for WebAssembly vectors. It fulfils the
// contract in src/base/linalg/kernel.ts; scripts/kernels.mjs compiles it without relaxed SIMD, so
// that results in double precision equal those of plain JavaScript to the bit. Addresses and
// distances are in bytes. Nothing is checked here: src/base/linalg checks before it calls.

const zero = f32x4.splat(0)

/**
 * For each panel of 32 bytes of columns: out[row][column] = Σ over `depth` steps of left[row] ·
 * right[column], for 4 rows whose 8 sums stay in registers. T: f32, 8 columns a panel, or f64, 4.
 */
function multiplyPanels<T>(
  left: usize,
  right: usize,
  out: usize,
  depth: i32,
  panels: i32,
  rowBytes: usize,
  stepBytes: usize,
  strideBytes: usize,
): void {
  for (; panels > 0; panels--, right += 32, out += 32) {
    let a0 = left
    let a1 = a0 + rowBytes
    let a2 = a1 + rowBytes
    let a3 = a2 + rowBytes
    let s00 = zero
    let s01 = zero
    let s10 = zero
    let s11 = zero
    let s20 = zero
    let s21 = zero
    let s30 = zero
    let s31 = zero
    for (let step = depth, b = right; step > 0; step--, b += strideBytes) {
      const b0 = v128.load(b)
      const b1 = v128.load(b, 16)
      let factor = v128.load_splat<T>(a0)
      s00 = v128.add<T>(s00, v128.mul<T>(factor, b0))
      s01 = v128.add<T>(s01, v128.mul<T>(factor, b1))
      a0 += stepBytes
      factor = v128.load_splat<T>(a1)
      s10 = v128.add<T>(s10, v128.mul<T>(factor, b0))
      s11 = v128.add<T>(s11, v128.mul<T>(factor, b1))
      a1 += stepBytes
      factor = v128.load_splat<T>(a2)
      s20 = v128.add<T>(s20, v128.mul<T>(factor, b0))
      s21 = v128.add<T>(s21, v128.mul<T>(factor, b1))
      a2 += stepBytes
      factor = v128.load_splat<T>(a3)
      s30 = v128.add<T>(s30, v128.mul<T>(factor, b0))
      s31 = v128.add<T>(s31, v128.mul<T>(factor, b1))
      a3 += stepBytes
    }
    let to = out
    v128.store(to, s00)
    v128.store(to, s01, 16)
    to += strideBytes
    v128.store(to, s10)
    v128.store(to, s11, 16)
    to += strideBytes
    v128.store(to, s20)
    v128.store(to, s21, 16)
    to += strideBytes
    v128.store(to, s30)
    v128.store(to, s31, 16)
  }
}

export function multiplyF32(
  left: usize,
  right: usize,
  out: usize,
  depth: i32,
  panels: i32,
  rowBytes: usize,
  stepBytes: usize,
  strideBytes: usize,
): void {
  multiplyPanels<f32>(left, right, out, depth, panels, rowBytes, stepBytes, strideBytes)
}

export function multiplyF64(
  left: usize,
  right: usize,
  out: usize,
  depth: i32,
  panels: i32,
  rowBytes: usize,
  stepBytes: usize,
  strideBytes: usize,
): void {
  multiplyPanels<f64>(left, right, out, depth, panels, rowBytes, stepBytes, strideBytes)
}
