// graft route train: makes a router from prompts whose expert is known, or from a router's log.

import { integer, string } from '../../../base/schema.ts'
import { defineCommand, toOption } from '../../command.ts'
import { modelOptions } from '../../shared/open-model.ts'

const { date: _date, ...ownModelOptions } = modelOptions

export const routeTrainCommand = defineCommand({
  name: 'route train',
  summary: 'train a router that chooses the expert for a prompt',
  usage: '--data <prompts.jsonl> --experts <folder> --out <router.json>',
  positionals: [0, 0],
  options: {
    data: toOption(string({ about: 'rows { "text", "expert" }; null: none of the experts' }), {
      valueName: 'prompts.jsonl',
      short: 'd',
    }),
    from: toOption(string({ about: 'the log of a router, with rewards or right experts' }), {
      valueName: 'log.jsonl',
    }),
    none: toOption(
      string({ about: 'prompts that no expert should answer: rows { "text" }; several times' }),
      { valueName: 'prompts.jsonl', many: true },
    ),
    held: toOption(string({ about: 'rows for calibration alone (default: a fifth of --data)' }), {
      valueName: 'prompts.jsonl',
    }),
    experts: toOption(
      string({ about: "folder of experts' folders (default: the names in the rows)" }),
      { valueName: 'folder' },
    ),
    out: toOption(string({ about: 'the file that is written' }), {
      valueName: 'router.json',
      short: 'o',
      required: true,
    }),
    kind: toOption(
      string({ default: 'embedding', about: 'embedding, keyword, policy, cascade, tasks …' }),
      { valueName: 'kind' },
    ),
    option: toOption(
      string({
        about: "an option of the kind: head=centroid, stages='[…]' (JSON where it is some)",
      }),
      { valueName: 'name=value', many: true },
    ),
    layers: toOption(string({ about: "numbers of the base's layers that read a prompt: 5,10" }), {
      valueName: 'n,…',
    }),
    pooling: toOption(string({ about: 'mean (default), last, max; several are joined' }), {
      valueName: 'name,…',
    }),
    encoder: toOption(
      string({ about: "a sentence encoder in place of the base's layers: all-minilm-l6-v2" }),
      { valueName: 'model' },
    ),
    seed: integer({ default: 0, about: 'of the held-out rows, and of kinds that sample' }),
    ...ownModelOptions,
  },
  examples: [
    {
      command: 'graft route train --data prompts.jsonl --experts experts --out router.json',
      about: "by vectors of the base's own layers",
    },
    {
      command: 'graft route train --kind keyword --experts experts --out router.json',
      about: "by the keywords of the experts' manifests, without any prompt or model",
    },
    {
      command: 'graft route train --data prompts.jsonl --none others.jsonl --out router.json',
      about: 'with prompts of other worlds, so that the base answers such ones',
    },
    {
      command:
        'graft route train --data prompts.jsonl --encoder all-minilm-l6-v2 --out router.json',
      about: 'by vectors of a sentence encoder (91 MB, fetched once)',
    },
    {
      command: 'graft route train --from route.jsonl --experts experts --out router.json',
      about: "from a server's log",
    },
  ],
  async run({ values, terminal, signal }) {
    const { trainRouter } = await import('../../route/train-router.ts')
    return trainRouter(values, terminal, signal)
  },
})
