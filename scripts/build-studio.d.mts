/** Writes Studio's page into a folder; gives its files and their bytes, as they are and compressed. */
export function buildStudio(
  target?: string,
): Promise<{ readonly files: number; readonly bytes: number; readonly packedBytes: number }>
