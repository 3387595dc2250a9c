// What the examples of many users share: their modules, a pool of them, the preferred answer of
// each.

import { decodeMicroLora, encodeMicroLora } from '../../src/learn/store/index.ts'
import { type UserCheckpoints, UserPool } from '../../src/learn/store/index.ts'
import { MicroLora } from '../../src/micro/index.ts'

const width = 32

export const createModule = (): MicroLora =>
  new MicroLora({ inFeatures: width, outFeatures: width, rank: 2, momentum: 0.9, seed: 1 })

/** A pool that keeps sixteen users in memory. */
export const createPool = (checkpoints: UserCheckpoints): UserPool<MicroLora> =>
  new UserPool({
    checkpoints,
    load: (_, state) => (state ? decodeMicroLora(state) : createModule()),
    stateOf: encodeMicroLora,
    limitBytes: 16 * createModule().toSafetensors().length,
    coldForm: 'int8',
    now: Date.now,
    onProblem: ({ user, error }) => console.log(`${user}: ${String(error)}`),
  })

const input = Float32Array.from({ length: width }, (_, i) => Math.sin(i))

/** The preferred answer of user i. */
const computeWish = (i: number): Float32Array =>
  Float32Array.from({ length: width }, (_, j) => Math.cos(i + j))

export function teach(lora: MicroLora, i: number, steps: number): void {
  for (let step = 0; step < steps; step++) {
    lora.adapt(input, { target: computeWish(i) })
    lora.applyUpdates(0.1)
  }
}

export const measureError = (lora: MicroLora, i: number): number =>
  lora.forward(input).reduce((sum, y, j) => sum + (y - computeWish(i)[j]!) ** 2, 0) / width
