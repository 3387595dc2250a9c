// Every row of the table runs the contract suite, in the configurations with different code paths.

import { describe, expect, it } from 'vitest'
import { adapterKindContract, type KindCase } from './kind.contract.ts'
import { adapterKinds, getKind, getPeftKind } from './kind-table.ts'

/** A start from the base: what it adds is taken off again, up to rounding. */
const principal = {
  freshTolerance: 1e-4,
  skip: {
    seeds: 'the start is the base’s',
    files: 'its files are a plain LoRA’s: see pissa-olora.test.ts',
  },
}

/** A soft prompt is always read: it changes the output when fresh too. */
const softPrompt = {
  freshTolerance: Infinity,
  skip: {
    merge: 'a soft prompt changes no weight',
    slots: 'a soft prompt is served by an attached graph',
  },
}

const cases: Readonly<Record<string, readonly KindCase[]>> = {
  dora: [
    {
      name: 'attention and feed-forward',
      options: {
        rank: 3,
        targets: ['q_proj', 'down_proj'],
        rankStabilized: true,
        rankPattern: { down_proj: 2 },
      },
      freshTolerance: 1e-4, // rows are divided by their own length
      skip: {
        gradients:
          'DoRA holds the norm constant in its gradients, which finite differences do not; PEFT’s gradients are compared',
      },
    },
  ],
  lora: [
    { name: 'queries and values', options: { rank: 3, layers: [0, 3] }, freshTolerance: 0 },
    {
      name: 'patterns, rank-stabilised',
      options: {
        rank: 4,
        alpha: 6,
        targets: 'all-linear',
        layers: [2],
        rankStabilized: true,
        rankPattern: { down_proj: 1 },
        alphaPattern: { 'mlp.*': 3 },
      },
      freshTolerance: 0,
    },
    {
      name: 'embedding',
      options: { rank: 2, targets: ['embed_tokens'] },
      freshTolerance: 0,
      skip: { merge: 'the embedding of this base is tied to its head' },
    },
    {
      name: 'from minor components',
      options: { rank: 3, alpha: 1, targets: ['k_proj', 'up_proj'], layers: [1], start: 'mica' },
      freshTolerance: 0,
      skip: { seeds: 'its start is the base’s' },
    },
    {
      name: 'embedding and head as one',
      options: { rank: 2, targets: ['lm_head', 'v_proj'], ensureWeightTying: true },
      freshTolerance: 0,
      skip: { slots: 'embedding and head as one are served by an attached graph' },
    },
    {
      name: 'with embedding and head saved as one',
      options: {
        rank: 2,
        targets: ['q_proj'],
        layers: [1],
        modulesToSave: ['lm_head'],
        ensureWeightTying: true,
      },
      freshTolerance: 0,
      skip: { slots: 'modules that are saved whole are served by an attached graph' },
    },
    {
      name: 'head with a bias on B, beside other targets',
      options: {
        rank: 2,
        targets: ['lm_head', 'layers.4.mlp.up_proj'],
        loraBias: true,
        start: 'gaussian',
      },
      freshTolerance: 0,
      skip: { merge: 'the layers of this base have no bias that B’s could be merged into' },
    },
    {
      name: 'with a layer and norms saved whole',
      options: {
        rank: 2,
        targets: ['q_proj'],
        layers: [1],
        modulesToSave: ['2.mlp.up_proj', 'norm'],
      },
      freshTolerance: 0,
      skip: { slots: 'modules that are saved whole are served by an attached graph' },
    },
    {
      name: 'with the head saved whole',
      options: { rank: 2, targets: ['q_proj'], layers: [1], modulesToSave: ['lm_head'] },
      freshTolerance: 0,
      skip: {
        merge: 'the head of this base is tied',
        slots: 'modules that are saved whole are served by an attached graph',
      },
    },
  ],
  'trainable-tokens': [
    {
      name: 'rows of the embedding, which the head shares',
      options: { trainableTokens: [5, 301] },
      freshTolerance: 1e-5, // the head's product is summed in another order
      skip: {
        seeds: 'its start is the base’s rows',
        slots: 'trained tokens are served by an attached graph',
        gradients: 'the interpreter rounds to f32 after a constant; PEFT’s gradients are compared',
      },
    },
    {
      name: 'rows of the head alone',
      options: { trainableTokens: { lm_head: [44, 5] } },
      freshTolerance: 1e-5,
      skip: {
        seeds: 'its start is the base’s rows',
        slots: 'trained tokens are served by an attached graph',
        merge: 'the head of this base is tied',
      },
    },
  ],
  pissa: [
    {
      name: 'largest directions',
      options: {
        rank: 3,
        alpha: 5,
        targets: ['q_proj', 'down_proj'],
        rankPattern: { down_proj: 2 },
      },
      ...principal,
    },
  ],
  olora: [
    {
      name: 'QR factors',
      options: { rank: 3, targets: ['v_proj', 'up_proj'], rankStabilized: true },
      ...principal,
    },
  ],
  ia3: [
    {
      name: 'keys, values and the last feed-forward layer',
      options: {},
      freshTolerance: 0,
      skip: { seeds: 'a fresh IA3 is all ones' },
    },
    {
      name: 'inputs by a regex',
      options: { targets: ['gate_proj', 'o_proj'], feedForward: '.*mlp.*' },
      freshTolerance: 0,
      skip: { seeds: 'a fresh IA3 is all ones' },
    },
  ],
  lokr: [
    {
      name: 'one side factored',
      options: { rank: 2, alpha: 3, targets: ['q_proj', 'up_proj', 'down_proj'] },
      freshTolerance: 0,
    },
    {
      name: 'both sides factored',
      options: {
        rank: 1,
        targets: ['v_proj', 'gate_proj'],
        decomposeBoth: true,
        decomposeFactor: 8,
        start: 'lycoris',
      },
      freshTolerance: 0,
    },
    {
      name: 'both sides full',
      options: { rank: 16, alpha: 8, targets: ['o_proj'] },
      freshTolerance: 0,
    },
  ],
  loha: [
    {
      name: 'as a detour',
      options: { rank: 2, alpha: 3, targets: ['q_proj', 'down_proj'] },
      freshTolerance: 0,
    },
    {
      name: 'as a whole matrix',
      options: { rank: 6, targets: ['v_proj'], layers: [0, 2] },
      freshTolerance: 0,
    },
  ],
  'prompt-tuning': [
    { name: 'drawn', options: { virtualTokens: 3 }, ...softPrompt },
    {
      name: 'from the vectors of a text',
      options: { virtualTokens: 5, startIds: [17, 301] },
      ...softPrompt,
      skip: { ...softPrompt.skip, seeds: 'the text is the start' },
    },
    {
      name: 'from the vocabulary',
      options: { virtualTokens: 2, start: 'vocabulary' },
      ...softPrompt,
    },
  ],
  'prefix-tuning': [{ name: 'drawn', options: { virtualTokens: 3 }, ...softPrompt }],
  vera: [
    {
      name: 'different widths',
      options: { rank: 4, targets: ['q_proj', 'up_proj', 'down_proj'] },
      freshTolerance: 0,
      skip: { seeds: 'projections come from projectionSeed, all else is constant' },
    },
  ],
}

it('has a case for every kind', () => {
  expect(Object.keys(cases).sort()).toEqual([...adapterKinds.keys()].sort())
})
for (const [kind, list] of Object.entries(cases))
  for (const one of list) adapterKindContract(kind, one)

describe('the table', () => {
  it('finds kinds by name and by peft_type, and reports what there is', () => {
    expect(getPeftKind({ peft_type: 'LORA' }, 'x')).toBe(getKind('lora'))
    expect(getPeftKind({ peft_type: 'LORA', use_dora: true }, 'x')).toBe(getKind('dora'))
    expect(() => getKind('lorra')).toThrow(
      `There is no adapter kind "lorra". There are: ${[...adapterKinds.keys()].join(', ')}`,
    )
    expect(() => getPeftKind({ peft_type: 'BOFT' }, 'a/adapter_config.json')).toThrow(
      'a/adapter_config.json: peft_type is "BOFT"; supported: LORA, IA3, LOKR, LOHA, VERA, PROMPT_TUNING, PREFIX_TUNING',
    )
  })
})
