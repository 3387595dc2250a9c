// The options of trying a new version, separate from the code that tries it, so that the command
// line loads quickly.

import { integer, number, string } from '../../../base/schema.ts'

export const shadowFields = {
  share: number({ above: 0, to: 1, default: 0.1, about: 'of the requests' }),
  leastVoters: integer({
    from: 1,
    default: 20,
    about: 'users who must have rated each version before the first decision',
  }),
  canaries: string({ filled: true, about: 'rows that must not get worse by more than 1 %' }),
}

export interface ShadowOptions {
  readonly share?: number | undefined
  readonly leastVoters?: number | undefined
  readonly canaries?: string | undefined
}
