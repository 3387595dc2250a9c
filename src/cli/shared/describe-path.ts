// Paths as they are shown: from where the user stands.

import { relative } from 'node:path'

export const describePath = (path: string): string => relative(process.cwd(), path) || '.'
