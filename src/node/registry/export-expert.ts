// A registered expert's files as a separate folder.

import { cp } from 'node:fs/promises'
import type { ResolvedExpert } from '../../registry/registry.ts'
import { writeAtomically } from '../files/atomic-write.ts'

/** Writes a new folder atomically. Throws OptionError if the path exists. */
export const copyExpertTo = ({ location }: ResolvedExpert, out: string): Promise<void> =>
  writeAtomically(out, (place) => cp(location, place, { recursive: true, errorOnExist: true }))
