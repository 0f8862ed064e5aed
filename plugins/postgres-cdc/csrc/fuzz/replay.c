/* Gives files to the fuzzer's target, one by one: for compilers without a fuzzer, and to look at what one found. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGEST = 1 << 20 };

int main(int count, char **names)
{
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(names[i], "rb");
        uint8_t *data = malloc(LARGEST);
        if (file == NULL || data == NULL) {
            perror(names[i]);
            return 1;
        }
        size_t size = fread(data, 1, LARGEST, file);
        fclose(file);
        uint8_t *exact = malloc(size ? size : 1); /* so that reading beyond it is seen */
        if (exact == NULL)
            return 1;
        for (size_t at = 0; at < size; at++)
            exact[at] = data[at];
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
        free(data);
    }
    printf("%d inputs\n", count - 1);
    return 0;
}
