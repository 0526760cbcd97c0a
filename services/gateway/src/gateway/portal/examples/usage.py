"""What is left of the day and of the month."""

import json
import os
from urllib.request import Request, urlopen

headers = {"Authorization": f"Bearer {os.environ['SMARTROUTE_TOKEN']}"}
with urlopen(Request("{{ base_url }}/usage", headers=headers)) as answer:
    usage = json.load(answer)
print(usage["plan"], usage["daily"]["remaining"], "today,", usage["monthly"]["remaining"], "this month")
