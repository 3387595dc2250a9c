// graft experts: the registry of this user's experts, or one in another folder.

import { flag, integer, number, string } from '../../base/schema.ts'
import { defineCommand, toOption } from '../command.ts'

export const expertsCommand = defineCommand({
  name: 'experts',
  summary: 'manage experts by name and version: add, list, search, verify, export …',
  usage: '<action> [arguments]',
  positionals: [1, 3],
  options: {
    registry: toOption(
      string({
        about: 'folder of the registry; GRAFT_REGISTRY, else ~/.local/share/graft/experts',
      }),
      { valueName: 'folder' },
    ),
    name: toOption(
      string({ about: "add: the expert's name (default: its manifest's or folder's)" }),
      {
        valueName: 'name',
      },
    ),
    version: toOption(
      string({ about: "add: its semantic version (default: its manifest's, else 0.1.0)" }),
      { valueName: '1.2.0' },
    ),
    channel: toOption(string({ about: 'add, channel: a channel that points to the version' }), {
      valueName: 'stable',
      many: true,
    }),
    tag: toOption(string({ about: 'tag: adds a tag; search: only experts with it' }), {
      valueName: 'word',
      many: true,
    }),
    untag: toOption(string({ about: 'tag: removes a tag' }), { valueName: 'word', many: true }),
    domain: toOption(string({ about: 'search: only experts of this domain' }), {
      valueName: 'word',
    }),
    base: toOption(string({ about: 'search: only experts of this base, by name or hash' }), {
      valueName: 'model',
    }),
    score: toOption(string({ about: 'search: only experts with at least this score' }), {
      valueName: 'metric=0.8',
    }),
    meaning: flag({
      about:
        'search: ranks experts by the meaning of the words, a question; publish: makes what it reads',
    }),
    model: toOption(
      string({ about: '--meaning: the base that reads the texts; build, check: the base' }),
      { valueName: 'model' },
    ),
    key: toOption(
      string({
        about: 'sign: a private key; verify, add --from, import, check: a trusted public key',
      }),
      { valueName: 'file', many: true },
    ),
    from: toOption(
      string({
        about: 'add, list, show, search: where experts are published; check: a folder of them',
      }),
      {
        valueName: 'url or folder',
      },
    ),
    'max-bytes': integer({
      from: 1,
      about: 'add --from, import: bytes of an expert at most (default: 4 GiB)',
    }),
    write: flag({ about: 'migrate: write the changes; without it they are only shown' }),
    undo: flag({ about: 'migrate: undo it' }),
    share: number({
      above: 0,
      to: 1,
      about: 'shadow: the share of requests that the version answers (default: 0.1)',
    }),
    votes: integer({
      from: 1,
      about: 'shadow: users who must have rated each version (default: 20)',
    }),
    canaries: toOption(string({ about: 'shadow: rows that must not get worse by more than 1 %' }), {
      valueName: 'rows.jsonl',
    }),
    force: flag({ about: 'promote: do not wait for votes' }),
    all: flag({ about: 'build: every recipe of the library' }),
    lora: flag({ about: 'build: also a LoRA of rank 16 on the same rows, to compare with' }),
    out: toOption(string({ about: 'build: where experts go (default: .graft/experts)' }), {
      valueName: 'folder',
    }),
    data: toOption(
      string({ about: 'build, check: folder of rows (default: that of the checkout)' }),
      {
        valueName: 'folder',
      },
    ),
    seed: integer({ about: 'build: another seed than 0' }),
    steps: integer({ from: 1, about: "build: other steps than the recipe's" }),
    rows: integer({ from: 1, about: 'build: held-out rows to measure on (default: all)' }),
    threads: integer({ from: 1, about: 'build, check: threads that compute' }),
    'allow-private': flag({ about: 'with --from: allow redirects to private addresses' }),
  },
  examples: [
    {
      command: 'graft experts add .graft/coder --name coder --version 1.2.0 --channel stable',
      about: 'a version, and the channel that points to it',
    },
    { command: 'graft experts list', about: 'the newest version of each' },
    {
      command: 'graft experts search json --base smollm2-135m-instruct',
      about: 'by words and base',
    },
    { command: 'graft experts show coder@stable', about: 'its manifest, hash and channels' },
    {
      command: 'graft experts add coder@stable --from https://example.org/experts',
      about: 'as it is published elsewhere: every byte is checked against its digest',
    },
    {
      command: 'graft experts shadow coder@1.3.0-rc.1 --share 0.1',
      about: 'a server answers a tenth of the requests for coder with it',
    },
    { command: 'graft run "Add a test" --adapter coder@^1.2', about: 'answer with it' },
  ],
  more: async () => (await import('../experts/run-experts.ts')).describeActions(),
  async run({ values, positionals, terminal, signal, setExitCode }) {
    const { runExpertsAction } = await import('../experts/run-experts.ts')
    return runExpertsAction(positionals, values, { terminal, signal, setExitCode })
  },
})
