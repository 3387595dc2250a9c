// Arrow's prototypes (Ostapenko et al. 2024, arXiv:2405.11157): for each layer that an adapter
// changes, the direction of its input to which the change responds most, the top right singular
// vector of B·A. Routing by them needs neither data nor training.

import type { Adapter } from '../../adapters/adapter.ts'
import { OptionError, UnsupportedError } from '../../base/errors.ts'
import { truncateProduct } from '../../base/linalg/low-rank.ts'
import { createMatrix } from '../../base/linalg/matrix.ts'
import { toFloat32 } from '../../formats/convert.ts'

const loraKey = /^(?:base_model\.model\.)?(.+)\.lora_A(?:\.\w+)?\.weight$/

/** Module path → its key of lora_A. */
function listLowRankModules({ tensors }: Adapter): Map<string, string> {
  const modules = new Map<string, string>()
  for (const key of tensors.keys()) {
    const path = loraKey.exec(key)?.[1]
    if (path !== undefined) modules.set(path, key)
  }
  return modules
}

/** Unit vectors [D_in] by module. Throws UnsupportedError for an adapter without low-rank pairs. */
export function computePrototypes(name: string, adapter: Adapter): Map<string, Float32Array> {
  const modules = listLowRankModules(adapter)
  if (modules.size === 0)
    throw new UnsupportedError(
      `Router "arrow": expert "${name}" is of the kind ${adapter.kind}, which has no pairs of matrices A and B. Use the router "tasks" or "embedding" for it.`,
    )
  const prototypes = new Map<string, Float32Array>()
  for (const [path, key] of modules) {
    const a = adapter.tensors.get(key)!
    const b = adapter.tensors.get(key.replace('lora_A', 'lora_B'))
    if (!b || a.shape.length !== 2 || b.shape.length !== 2) continue
    prototypes.set(
      path,
      computeTopInput(toFloat32(b), toFloat32(a), b.shape[0]!, a.shape[0]!, a.shape[1]!),
    )
  }
  return prototypes
}

/** The unit vector x that ‖B·A·x‖ is largest for; zeros where B·A is 0. */
export function computeTopInput(
  b: Float32Array,
  a: Float32Array,
  outputs: number,
  rank: number,
  inputs: number,
): Float32Array {
  const { a: rows } = truncateProduct(
    createMatrix(outputs, rank, b),
    createMatrix(rank, inputs, a),
    { rank: 1 },
  )
  const top = rows.data.slice(0, inputs)
  const length = Math.sqrt(top.reduce((sum, value) => sum + value * value, 0))
  return length > 0 ? top.map((value) => value / length) : new Float32Array(inputs)
}

/** Modules that every expert changes; throws OptionError if there are none. */
export function findCommonModules(
  prototypes: ReadonlyMap<string, ReadonlyMap<string, Float32Array>>,
): string[] {
  const all = [...prototypes.values()]
  const common = [...(all[0]?.keys() ?? [])].filter((path) =>
    all.every((own) => own.get(path)?.length === all[0]!.get(path)!.length),
  )
  if (common.length === 0)
    throw new OptionError(
      `Router "arrow": there is no layer that all experts change, among ${[...prototypes.keys()].join(', ')}. Train them on the same modules, or use the router "tasks".`,
    )
  return common
}
