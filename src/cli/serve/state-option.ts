// --state: where a server keeps its keys, usage and loaded experts.

import { string } from '../../base/schema.ts'
import { toOption } from '../command.ts'

export const stateOption = toOption(
  string({
    about:
      'folder of keys, usage and loaded experts (default: GRAFT_STATE, else ~/.local/state/graft)',
  }),
  { valueName: 'folder' },
)
