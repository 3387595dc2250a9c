// Paths as they are shown: from where the user stands.

import { relative } from 'node:path'

export const shownPath = (path: string): string => relative(process.cwd(), path) || '.'
