// What a set of MicroLoRA's kernels does: the relaxed-SIMD, the SIMD and the plain one agree to
// 1e-5. Kernels check nothing and are independent of modules; callers pass valid offsets and
// lengths, so that nothing can trap.

/**
 * Loops over one heap of f32 values. A place is an index into the heap, row lengths n are multiples
 * of 16 with zeros as padding, R is 1 to 16. A: [R, in] as R rows. B: [R, out], so R rows too:
 * PEFT's transposed.
 */
export interface Kernels {
  /** u = scale·A·x, y += Bᵀ·u. Gives Σu², which is not finite where x is not. */
  forward(
    rank: number,
    a: number,
    b: number,
    x: number,
    u: number,
    y: number,
    nIn: number,
    nOut: number,
    scale: number,
  ): number
  /** y −= t */
  subtract(y: number, t: number, n: number): void
  /**
   * The gradient of a loss L with e = ∂L/∂y: u = scale·A·x, gB_r += u_r·e, gA_r += scale·(B_r·e)·x
   * and, where gBias is not 0, gBias += e. Gives ½‖e‖²; NaN, and nothing is changed, where a value
   * is not finite or too large for f32. u has room for 32 values.
   */
  backward(
    rank: number,
    a: number,
    b: number,
    ga: number,
    gb: number,
    gBias: number,
    x: number,
    u: number,
    e: number,
    nIn: number,
    nOut: number,
    scale: number,
  ): number
  /**
   * y += Σ_k weights[k]·rows[places[k]] for `count` rows of n floats; `places` are row numbers, as
   * floats like all else here.
   */
  gather(rows: number, places: number, weights: number, count: number, y: number, n: number): void
  /** Σ v² */
  squares(at: number, n: number): number
  /** v = 0 */
  clear(at: number, n: number): void
  copy(to: number, from: number, n: number): void
  /** m = keep·m + share·g, g = 0. Gives Σm². */
  average(m: number, g: number, n: number, keep: number, share: number): number
  /**
   * Adam's direction, left in g: with ĝ = k·g, m = β₁m + (1 − β₁)ĝ, v = β₂v + (1 − β₂)ĝ²: g =
   * correction1·m / (√(correction2·v) + ε). Gives Σg². Kingma and Ba 2015, arXiv:1412.6980.
   */
  adam(
    g: number,
    m: number,
    v: number,
    n: number,
    k: number,
    beta1: number,
    beta2: number,
    correction1: number,
    correction2: number,
    epsilon: number,
  ): number
  /** f = keep·f + share·g² */
  watch(f: number, g: number, n: number, keep: number, share: number): void
  /** w = keep·w − step·d. Gives Σw². */
  move(w: number, d: number, n: number, keep: number, step: number): number
  /**
   * The proximal step of strength/2·Σ F(w − w*)²: w −= q·(w − w*), q = strength·F / (1 +
   * strength·F), which cannot overshoot. Gives Σw².
   */
  pull(w: number, anchor: number, importance: number, n: number, strength: number): number
}
