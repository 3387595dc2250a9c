// A hash of a base model's function, to recognise the same model under another name.

import { joinBytes } from '../base/concat.ts'
import { computeSha256, toHex } from '../base/sha256.ts'
import { viewBytes } from '../base/tensor.ts'
import type { TensorStore } from '../formats/tensor-store.ts'
import type { ModelConfig } from './model-config.ts'

const SAMPLE_BYTES = 65_536

/**
 * The model's hash including the scaling that was chosen at opening, on which cached keys and a
 * resumed run depend.
 */
export async function computeServedIdentity({
  identity,
  ropeScaling,
}: {
  readonly identity: () => Promise<string>
  readonly ropeScaling?: object | undefined
}): Promise<string> {
  const hash = await identity()
  return ropeScaling ? `${hash} ${JSON.stringify(ropeScaling)}` : hash
}

/**
 * sha-256 of the config's hash and of each tensor's, in the order of names. Token ids change no
 * logits and are left out.
 */
export async function computeModelIdentity(
  config: ModelConfig,
  weights: TensorStore,
): Promise<string> {
  const {
    source: _source,
    bosTokenId: _bos,
    eosTokenIds: _eos,
    padTokenId: _pad,
    ...computed
  } = config
  const parts = [await computeSha256(new TextEncoder().encode(JSON.stringify(computed)))]
  for (const name of [...weights.tensors.keys()].sort()) {
    const tensor = await weights.read(name)
    const bytes = viewBytes(tensor)
    const head = new TextEncoder().encode(JSON.stringify([name, tensor.dtype, tensor.shape]))
    const ends = [
      bytes.subarray(0, SAMPLE_BYTES),
      bytes.subarray(Math.max(SAMPLE_BYTES, bytes.length - SAMPLE_BYTES)),
    ]
    parts.push(await computeSha256(joinBytes([head, ...ends])))
  }
  return toHex(await computeSha256(joinBytes(parts)))
}
